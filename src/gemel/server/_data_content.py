"""The content of datasets over HTTP: read whole or in part, and taken in with its digests compared."""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

import anyio
import anyio.from_thread
import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive

from gemel.base.errors import EngineStopped, GemelError, InvalidInput, OutOfBounds, ResultCorrupt, StoreUnavailable
from gemel.base.sizes import spoken_size
from gemel.core.engine import DataService, StoredFile
from gemel.infra.lake.datasets import Content
from gemel.server._data_bodies import Upload
from gemel.server._problem import problem, problem_response

# Files are never shown as pages of this server: a script in one would act as whoever looks at it.
_MEDIA_TYPE = "application/octet-stream"
_SILENCE_SECONDS = 60  # without a byte, after which a client is taken for gone
_UPLOADS = 32  # at a time; more of them wait for their turn
_RANGE = re.compile(r"bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.IGNORECASE)
_DIGEST = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)\s*=\s*:([A-Za-z0-9+/=]*):[^,]*")
_ALGORITHMS = {"sha-256": "sha256", "md5": "md5", "adler": "adler32"}  # RFC 9530, section 5
_TAG = re.compile(r'(?:W/)?"[^"]*"')


class Refused(Exception):
    """A request is refused with a status of its own.

    Args:
        status: Of HTTP.
        error: Why.
        headers: That go with it.
    """

    def __init__(self, status: int, error: GemelError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.message)
        self.status, self.error, self.headers = status, error, dict(headers or {})

    def response(self) -> Response:
        """Return it as a problem document."""
        document = problem(self.error) | {"status": self.status, "title": HTTPStatus(self.status).phrase}
        answer = problem_response(document)
        answer.headers.update(self.headers)
        return answer


def add_content_routes(router: APIRouter, service: DataService) -> None:
    """Add the routes of content to `router`."""
    # Threads of its own: clients that send slowly do not hold up what the server's other pages need.
    turns = anyio.CapacityLimiter(_UPLOADS)

    @router.head("/datasets/{name}/content")
    @router.get("/datasets/{name}/content", response_class=StreamingResponse)
    async def content(name: str, request: Request) -> Response:
        file = await run_in_threadpool(service.file, name)
        try:
            return await _read_out(file, request)
        except Refused as refused:
            return refused.response()

    @router.put("/datasets/{name}/content", status_code=201)
    async def put(name: str, request: Request, asked: Annotated[Upload, Query()]) -> Response:
        try:
            size = _announced(request, service.largest)
            about = asked.model_dump(exclude={"storage", "digest"}) | {"digests": _expected(request, asked.digest)}
            body = _Incoming(request.receive, service.largest, request.app.state.stopping)
            document = await anyio.to_thread.run_sync(
                lambda: service.receive(body, name, about, storage=asked.storage, size=size), limiter=turns
            )
        except Refused as refused:
            return refused.response()
        except ResultCorrupt as error:
            # It is the request that contradicts itself, nothing that is kept here.
            return Refused(400, error).response()
        digest = document["digests"]["sha256"]["value"]
        headers = {"Location": f"/api/v1/data/datasets/{quote(document['name'])}", **_tags(digest, document)}
        return JSONResponse(document, 201, headers)


async def _read_out(file: StoredFile, request: Request) -> Response:
    size = int(file.document["size"] or 0)
    headers = {"Accept-Ranges": "bytes", **_tags(file.tag, file.document)}
    if not _wanted(request, file.tag):
        return Response(status_code=304, headers=headers)
    name = quote(str(file.document["name"]).partition(":")[2])
    headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    span = _span(request, file.tag, size)
    start, stop = span or (0, size)
    headers["Content-Length"] = str(stop - start)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    if request.method == "HEAD":
        return Response(headers=headers, media_type=_MEDIA_TYPE)
    stream = await run_in_threadpool(file.open, span)
    return StreamingResponse(_pieces(stream), 200 if span is None else 206, headers, _MEDIA_TYPE)


async def _pieces(stream: Content) -> AsyncIterator[bytes]:
    # An error ends the connection before its promised length, so that nobody takes a part for the whole.
    try:
        while piece := await run_in_threadpool(stream.read):
            yield piece
    finally:
        stream.close()


def _tags(tag: str, document: Mapping[str, Any]) -> dict[str, str]:
    digest = document["digests"].get("sha256")
    told = {} if digest is None else {"Repr-Digest": f"sha-256=:{_base64(digest['value'])}:"}
    return {"ETag": f'"{tag}"', **told}


def _wanted(request: Request, tag: str) -> bool:
    """Return whether a client has not got the content already (RFC 9110, section 13.1).

    Raises:
        Refused: It wants it only if it is another than it is.
    """
    ours = f'"{tag}"'
    match, none = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is not None and match.strip() != "*" and ours not in _TAG.findall(match):
        raise Refused(412, InvalidInput("The content is not the one that is asked for any more."))
    return none is None or (
        none.strip() != "*" and ours not in [item.removeprefix("W/") for item in _TAG.findall(none)]
    )


def _span(request: Request, tag: str, size: int) -> tuple[int, int] | None:
    """Return the part that is asked for: its first byte and the one after its last; None for the whole.

    Several parts are answered with the whole, as RFC 9110 (section 14.2) allows, and so is a header that is none.

    Raises:
        Refused: The file has no such part.
    """
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or request.headers.get("if-range", f'"{tag}"').strip() != f'"{tag}"':
        return None
    first, last = found.groups()
    if not (first or last) or (first and last and int(last) < int(first)):
        return None
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        error = OutOfBounds(f"The file has {size} bytes, and none of those asked for.", size=size)
        raise Refused(416, error, {"Content-Range": f"bytes */{size}"})
    return start, stop


def _announced(request: Request, largest: int) -> int | None:
    """Return how many bytes will come, where the client says so.

    Raises:
        Refused: It is more than may be sent, or not a whole file.
    """
    if "content-range" in request.headers:
        raise Refused(400, InvalidInput("A part of a file cannot be written; send the whole."))
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refused(415, InvalidInput("Files are kept as they are sent; send this one without an encoding."))
    text = request.headers.get("content-length", "")
    size = int(text) if text.isdecimal() else None if "transfer-encoding" in request.headers else 0
    if size is not None and size > largest:
        raise _too_large(largest)
    return size


def _expected(request: Request, given: list[str]) -> dict[str, str]:
    """Return the digests that the content must have: of the headers (RFC 9530) and the query.

    Raises:
        InvalidInput: One cannot be read, or contradicts another.
    """
    found: dict[str, str] = {}
    pairs = [text.partition(":")[::2] for text in given]
    for header in ("content-digest", "repr-digest"):
        for item in request.headers.get(header, "").split(","):
            match = _DIGEST.fullmatch(item)
            if item.strip() and match is None:
                raise InvalidInput(f"The {header} header cannot be read.", hint="sha-256=:BASE64:")
            if match is not None and match.group(1) in _ALGORITHMS:
                pairs.append((_ALGORITHMS[match.group(1)], _hexadecimal(match.group(2))))
    for algorithm, value in pairs:
        if found.setdefault(algorithm.lower(), value.lower()) != value.lower():
            raise InvalidInput(f"Two {algorithm} digests contradict each other.")
    return found


class _Incoming:
    """A request's body, read from a thread: while nobody reads, the client waits."""

    def __init__(self, receive: Receive, largest: int, stopping: threading.Event) -> None:
        self._receive, self._largest, self._stopping = receive, largest, stopping
        self._held = bytearray()
        self._ended = False
        self._seen = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, `size` of them unless the body ends; none at its end.

        Raises:
            Refused: More came than may be sent; the client left, or fell silent.
        """
        while not self._ended and (size < 0 or len(self._held) < size):
            part = anyio.from_thread.run(self._next)
            self._held += part
            self._seen += len(part)
            if self._seen > self._largest:
                raise _too_large(self._largest)
        end = len(self._held) if size < 0 else size
        piece = bytes(self._held[:end])
        del self._held[:end]
        return piece

    async def _next(self) -> bytes:
        for _ in range(_SILENCE_SECONDS):
            if self._stopping.is_set():
                raise Refused(503, EngineStopped("The engine stops; nothing was kept."))
            with anyio.move_on_after(1.0):
                message = await self._receive()
                if message["type"] != "http.request":
                    raise Refused(400, StoreUnavailable("The upload broke off; nothing was kept."))
                self._ended = not message.get("more_body")
                return bytes(message.get("body", b""))
        raise Refused(408, StoreUnavailable(f"Nothing came for {_SILENCE_SECONDS} s; nothing was kept."))


def _too_large(largest: int) -> Refused:
    hint = "--set server.upload=SIZE, or register a file that lies on a storage already."
    return Refused(413, OutOfBounds(f"A file that is sent may have {spoken_size(largest)}.", hint=hint, bytes=largest))


def _hexadecimal(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{text[:100]!r} is no digest in base64.", hint="sha-256=:BASE64:") from error


def _base64(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()
