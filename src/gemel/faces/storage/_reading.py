"""GET and HEAD: files, parts of them, and their digests."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import BinaryIO

from starlette.responses import Response, StreamingResponse

from gemel.base.errors import NotFound
from gemel.faces.storage._asked import Asked, Element
from gemel.faces.storage._conditions import check_conditions, http_date, ranges_of
from gemel.faces.storage._digests import told_in, wanted_of
from gemel.faces.storage._errors import Refusal
from gemel.faces.storage._tree import Node

_PIECE = 1 << 20  # bytes that are read for each turn of the event loop
# Files are never shown as pages of this server: a script in one would act as whoever looks at it.
_MEDIA_TYPE = "application/octet-stream"


async def get(asked: Asked) -> Response:
    """Return a file, or parts of it; without the body for HEAD."""
    heads = asked.method == "HEAD"
    asked.grant.require(asked.spot, "READ_METADATA" if heads else "DOWNLOAD")
    node, file = await asked.element.soon(_opened, asked)
    try:
        headers = await _headers(asked, node, heads)
        check_conditions(asked.headers, node, reading=True)
        parts = [] if heads else ranges_of(asked.headers, node)
    except BaseException:
        file.close()
        raise
    if heads:
        file.close()
        return Response(headers={**headers, "Content-Length": str(node.size)}, media_type=_MEDIA_TYPE)
    if len(parts) > 1:
        return _several(asked.element, file, node, headers, parts)
    start, stop = parts[0] if parts else (0, node.size)
    headers["Content-Length"] = str(stop - start)
    if parts:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{node.size}"
    pieces = _pieces(asked.element, file, [(b"", start, stop)])
    return StreamingResponse(pieces, 206 if parts else 200, headers, _MEDIA_TYPE)


def _several(
    element: Element, file: BinaryIO, node: Node, headers: dict[str, str], parts: list[tuple[int, int]]
) -> Response:
    """Return several parts in one answer (RFC 9110, section 14.6)."""
    mark = secrets.token_hex(16)
    spans = [
        (f"\r\n--{mark}\r\nContent-Range: bytes {start}-{stop - 1}/{node.size}\r\n\r\n".encode(), start, stop)
        for start, stop in parts
    ]
    spans.append((f"\r\n--{mark}--\r\n".encode(), 0, 0))
    headers["Content-Length"] = str(sum(len(head) + stop - start for head, start, stop in spans))
    kind = f"multipart/byteranges; boundary={mark}"
    return StreamingResponse(_pieces(element, file, spans), 206, headers, kind)


def _opened(asked: Asked) -> tuple[Node, BinaryIO]:
    allow = {"Allow": "OPTIONS, PROPFIND, PROPPATCH, MKCOL, DELETE, MOVE, COPY, POST"}
    if not asked.spot.path:
        if asked.spot.storage:
            asked.tree()
        raise Refusal(405, "This is a folder; PROPFIND lists it.", allow)
    tree = asked.tree()
    try:
        if asked.spot.slash:
            raise NotFound(f"There is no file at '{asked.spot.place}/'.")
        return tree.open(asked.spot.path)
    except NotFound:
        node = tree.look(asked.spot.path)
        if node is not None and node.folder:
            raise Refusal(405, "This is a folder; PROPFIND lists it.", allow) from None
        raise


async def _headers(asked: Asked, node: Node, heads: bool) -> dict[str, str]:
    headers = {"Accept-Ranges": "bytes", "Content-Disposition": "attachment"}
    if node.tag:
        headers["ETag"] = node.tag
    if node.modified is not None:
        headers["Last-Modified"] = http_date(node.modified)
    wanted = wanted_of(asked.headers)
    if wanted and heads:
        headers |= told_in(asked.headers, await asked.element.start(_digests, asked, wanted))
    elif wanted:
        # Who reads a file is not kept waiting until all of it is hashed.
        known = asked.element.digests.known(asked.spot.storage, node)
        headers |= told_in(asked.headers, {name: known[name] for name in wanted if name in known})
    return {name: value for name, value in headers.items() if value}


def _digests(asked: Asked, wanted: list[str]) -> dict[str, str]:
    return asked.element.digests.of(asked.tree(), asked.spot.path, wanted, asked.stopping)


async def _pieces(element: Element, file: BinaryIO, spans: list[tuple[bytes, int, int]]) -> AsyncIterator[bytes]:
    """Yield parts of a file, each after the bytes that announce it."""
    try:
        for head, start, stop in spans:
            if head:
                yield head
            await element.soon(file.seek, start)
            left = stop - start
            while left > 0:
                piece = await element.soon(file.read, min(left, _PIECE))
                if not piece:
                    # The connection is closed early, so that nobody takes the part for the whole.
                    raise OSError(f"The file ended {left} bytes early.")
                left -= len(piece)
                yield piece
    finally:
        file.close()
