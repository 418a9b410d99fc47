"""What an agent does at its site: tasks on one folder, each done whole or not at all."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import httpx2

from gemel.base.errors import Denied, GemelError, InvalidInput, NotFound, ResultCorrupt, StoreFull, StoreUnavailable
from gemel.base.ids import digest_bytes
from gemel.infra.lake.agents._frames import Framed
from gemel.infra.lake.storages import PIECE, LocalStorage, Readable, in_writing
from gemel.infra.lake.storages._storage import changed
from gemel.infra.lake.transport._hashing import Hashed
from gemel.infra.lake.transport._reading import opened
from gemel.infra.lake.web import Web

_REMEMBERED = 1000  # files whose digests are kept in memory
_LIST_BYTES = 256 << 10
_LARGEST_READ = 64 << 20  # bytes of a range that are held in memory
_REDIRECTS = 5
_STALE_SECONDS = 86_400.0  # after which a file that a killed agent was writing is nobody's
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)


class Withdrawn(Exception):
    """Nobody waits for the task any more, or this agent stops."""


class Hand(Protocol):
    """What a task is given to work with."""

    def progress(self, done: int) -> None:
        """Note how many bytes are done; raise `Withdrawn` when the task is to end."""
        ...

    def incoming(self) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        """Yield the bytes that the engine sends."""
        ...

    def send(self, pieces: Iterator[bytes] | list[bytes], answer: Mapping[str, Any] | None = None) -> None:
        """Send bytes to the engine; with an answer, they end the task."""
        ...


class Work:
    """The folder of a site, and what can be done on it; safe for threads.

    Args:
        place: The folder.
    """

    def __init__(self, place: LocalStorage) -> None:
        self._place = place
        self._web = Web()
        self._http = httpx2.Client(timeout=_TIMEOUT, follow_redirects=False, headers={"Accept-Encoding": "identity"})
        self._digests: OrderedDict[tuple[str, str | None], dict[str, str]] = OrderedDict()
        self._lock = threading.Lock()
        self._verbs: dict[str, Callable[[dict[str, Any], Hand], dict[str, Any] | None]] = {
            "stat": self._stat, "list": self._list, "read": self._read, "write": self._write,
            "delete": self._delete, "digest": self._digest, "fetch": self._fetch, "send": self._send,
        }  # fmt: skip

    def do(self, task: dict[str, Any], hand: Hand) -> dict[str, Any] | None:
        """Return the answer to a task, or None when it was sent with the bytes.

        Raises:
            GemelError: It cannot be done.
            Withdrawn: It is not wanted any more.
        """
        verb = self._verbs.get(str(task.get("verb")))
        if verb is None:
            raise InvalidInput(f"This agent does not know '{task.get('verb')}'.", hint="Is it older than the engine?")
        return verb(task, hand)

    def tidy(self, stop: threading.Event) -> int:
        """Return how many files that killed agents were writing a day ago or longer were removed, until told to stop."""
        count = 0
        for item in self._place.folder.rglob("*"):
            if stop.is_set():
                break
            if in_writing(item.name) and item.is_file() and time.time() - item.stat().st_mtime > _STALE_SECONDS:
                item.unlink(missing_ok=True)
                count += 1
        return count

    def _stat(self, task: dict[str, Any], hand: Hand) -> dict[str, Any]:
        entry = self._place.stat(task["path"])
        return {"size": entry.size, "modified": entry.modified, "version": entry.version}

    def _list(self, task: dict[str, Any], hand: Hand) -> dict[str, Any]:
        count = 0

        def pieces() -> Iterator[bytes]:
            nonlocal count
            held = bytearray()
            for entry in self._place.list(task["path"]):
                count += 1
                held += json.dumps([entry.path, entry.size, entry.modified]).encode() + b"\n"
                if len(held) > _LIST_BYTES:
                    hand.progress(count)
                    yield bytes(held)
                    held.clear()
            yield bytes(held)

        hand.send(pieces())
        return {"count": count}

    def _read(self, task: dict[str, Any], hand: Hand) -> None:
        path, wanted = task["path"], int(task["length"])
        if task.get("version") not in (None, self._place.stat(path).version):
            raise changed(self._place.name, path)
        digest = {}
        if wanted <= _LARGEST_READ:
            with self._place.open(path, int(task["offset"]), wanted) as file:
                content = file.read(wanted)
            digest["sha256"] = digest_bytes(content)
            hand.send([content[at : at + PIECE] for at in range(0, len(content), PIECE)], digest)
            return
        raise InvalidInput(f"A range of {wanted} bytes is too large; ask for {_LARGEST_READ} at most.")

    def _write(self, task: dict[str, Any], hand: Hand) -> dict[str, Any]:
        with hand.incoming() as parts:
            body = Framed(parts)
            size = self._place.write(task["path"], _Told(body, hand), task.get("size"))
        return {"size": size, "sha256": body.sha256}

    def _delete(self, task: dict[str, Any], hand: Hand) -> dict[str, Any]:
        try:
            self._place.delete(task["path"])
        except NotFound:
            # An agent before this one may have died between the deed and the answer.
            if int(task.get("attempt", 1)) == 1:
                raise
        return {}

    def _digest(self, task: dict[str, Any], hand: Hand) -> dict[str, Any]:
        entry = self._place.stat(task["path"])
        key = entry.path, entry.version
        with self._lock:
            known = self._digests.get(key)
        if known is None:
            with opened(self._place, entry.path) as file, _Hashing(file, hand) as stream:
                while stream.read(PIECE):
                    pass
                known = dict(stream.seen().digests)
            with self._lock:
                self._digests[key] = known
                while len(self._digests) > _REMEMBERED:
                    self._digests.popitem(last=False)
        return {"digests": known}

    def _fetch(self, task: dict[str, Any], hand: Hand) -> dict[str, Any]:
        size = int(task["size"])
        digests = {str(name): str(value) for name, value in task["digests"].items()}
        what = f"'{task['path']}'"
        with self._answered("GET", task["url"], task["headers"]) as answer, _reaching(task["url"]):
            body = _Raw(answer)
            with Hashed(body, digests, None if size < 0 else size, hand.progress, what) as stream:
                self._place.write(task["path"], _Ending(stream, body, answer))
                seen = stream.seen()
        return {"size": seen.size, "digests": dict(seen.digests)}

    def _send(self, task: dict[str, Any], hand: Hand) -> dict[str, Any]:
        size = self._place.size(task["path"])
        headers = {**task["headers"], "Content-Length": str(size)}
        with opened(self._place, task["path"]) as file, Hashed(file, {}, size, hand.progress) as stream:
            with self._answered("PUT", task["url"], headers, stream), _reaching(task["url"]):
                pass
            seen = stream.seen()
        if seen.size != size:
            raise StoreUnavailable(f"{_host(task['url'])} did not take the whole file.", reach=True)
        return {"size": seen.size, "digests": dict(seen.digests)}

    @contextlib.contextmanager
    def _answered(
        self, method: str, address: str, headers: Mapping[str, str], stream: Readable | None = None
    ) -> Iterator[httpx2.Response]:
        """Yield a successful answer; a redirect is followed, without the headers to another host."""
        given = dict(headers)
        for _ in range(_REDIRECTS + 1):
            self._web.check(address)
            content = None if stream is None else iter(lambda: stream.read(PIECE), b"")
            with _reaching(address), self._http.stream(method, address, headers=given, content=content) as answer:
                _check_peer(answer, address)
                where = answer.headers.get("location")
                if answer.status_code in (301, 302, 303, 307, 308) and where:
                    if stream is not None:
                        raise StoreUnavailable(f"{_host(address)} redirects an upload.", reach=True)
                else:
                    _require_success(answer, address)
                    yield answer
                    return
            before, address = address, urljoin(address, where)
            if urlsplit(before)[:2] != urlsplit(address)[:2]:
                given = {}
        raise StoreUnavailable(f"{_host(address)} redirects more than {_REDIRECTS} times.", reach=True)


class _Told:
    """A stream that tells how far it is."""

    def __init__(self, stream: Framed, hand: Hand) -> None:
        self._stream, self._hand = stream, hand

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        piece = self._stream.read(size)
        self._hand.progress(self._stream.size)
        return piece


class _Hashing(Hashed):
    """All known digests of a stream."""

    def __init__(self, source: Readable, hand: Hand) -> None:
        # An expected digest of each algorithm makes it be computed; `_check` is told to compare nothing.
        super().__init__(source, {"md5": ""}, None, hand.progress)

    def _check(self) -> None:
        """Compare with nothing."""


class _Raw:
    """The body of an answer as it comes over the wire, in pieces of the size that is asked for or smaller."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._parts, self._rest = answer.iter_raw(PIECE), b""
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; none at the end."""
        piece = self._rest or next(self._parts, b"")
        if 0 <= size < len(piece):
            piece, self._rest = piece[:size], piece[size:]
        else:
            self._rest = b""
        self.size += len(piece)
        return piece


class _Ending:
    """A fetched body that must have the length which its sender announced."""

    def __init__(self, stream: Hashed, body: _Raw, answer: httpx2.Response) -> None:
        self._stream, self._body = stream, body
        self._wanted = answer.headers.get("content-length", "")

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; none at the end."""
        piece = self._stream.read(size)
        if not piece and self._wanted.isdigit() and int(self._wanted) != self._body.size:
            raise StoreUnavailable("The other side broke off.", hint="Try again.", reach=True)
        return piece


@contextlib.contextmanager
def _reaching(address: str) -> Iterator[None]:
    """Say of errors on the way that it is the other side which cannot be reached from this site."""
    try:
        yield
    except httpx2.TimeoutException as error:
        raise StoreUnavailable(f"{_host(address)} does not answer in time.", reach=True) from error
    except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise StoreUnavailable(f"{_host(address)} cannot be reached, or broke off: {reason}.", reach=True) from error


def _require_success(answer: httpx2.Response, address: str) -> None:
    code, host = answer.status_code, _host(address)
    kinds: dict[int, type[GemelError]] = {401: Denied, 403: Denied, 404: NotFound, 410: NotFound, 507: StoreFull}
    if code in kinds:
        raise kinds[code](f"{host} answers to the agent with status {code}.", hint="Does its token allow it?")
    if not answer.is_success:
        raise StoreUnavailable(f"{host} answers to the agent with status {code}.", reach=True)
    if answer.request.method == "GET" and answer.status_code != 200:
        raise StoreUnavailable(f"{host} does not send the whole file.", reach=True)
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise ResultCorrupt(f"{host} sends the file in an encoding that was not asked for.")


def _check_peer(answer: httpx2.Response, address: str) -> None:
    # The name may have led elsewhere when it was checked.
    stream = answer.extensions.get("network_stream")
    peer = stream.get_extra_info("server_addr") if stream is not None else None
    if peer and ipaddress.ip_address(str(peer[0]).split("%")[0]).is_link_local:
        raise Denied(f"{_host(address)} is not a host to exchange data with.")


def _host(address: str) -> str:
    return f"'{urlsplit(address).netloc.rpartition('@')[2][:100]}'"
