"""A folder at a site that nobody can call: what is asked of it waits for the site's agent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

from gemel.base.errors import ConfigInvalid, GemelError, ResultCorrupt, StoreUnavailable
from gemel.infra.lake.agents._channel import Broken, Channel
from gemel.infra.lake.agents._exchange import Exchange, not_serving
from gemel.infra.lake.agents._tasks import Interrupted, Task
from gemel.infra.lake.storages._ranged import ranged
from gemel.infra.lake.storages._storage import (
    PIECE,
    Entry,
    Readable,
    Statted,
    checked_options,
    checked_path,
    cut_off,
    missing,
)
from gemel.infra.lake.transport._digests import LENGTHS
from gemel.infra.lake.transport._hashing import Seen

_ATTEMPTS = 3  # to read a range, when agents die over it
_LINE_BYTES = 1 << 20

Progress = Callable[[int], None]


class AgentStorage(Statted):
    """A site's folder, reached through the agent there.

    Args:
        name: As declared.
        options: `site`, the name of the site, for people; the folder is known to the agent alone.
        exchange: Where tasks wait for agents; None where agents cannot call.

    Attributes:
        site: Name of the site.
    """

    kind = "agent"
    writable = True
    takes_exchange = True

    def __init__(self, name: str, options: Mapping[str, str], exchange: Exchange | None = None) -> None:
        checked_options(self.kind, options, {"site": False}, ())
        if "/" in options.get("site", ""):
            raise ConfigInvalid("The name of a site has no slashes.")
        self.name = name
        self.site = options.get("site") or name
        self._exchange = exchange

    @property
    def reachable(self) -> bool:
        """Whether an agent serves it now, and calls this process."""
        return self._exchange is not None and self._exchange.reachable(self.name)

    def stat(self, path: str) -> Entry:
        """Return what is known of a file."""
        told = self._done("stat", checked_path(path))
        return Entry(path, int(told["size"]), told.get("modified"), told.get("version"))

    def open(self, path: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """Return a part of a file as a seekable file; each range is a task, compared with the agent's digest of it."""
        entry = self.stat(path)
        return ranged(path, entry.size, offset, length, lambda start, stop: self._range(entry, start, stop))

    def _range(self, entry: Entry, start: int, stop: int) -> bytes:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._read(entry, start, stop)
            except Interrupted:
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _read(self, entry: Entry, start: int, stop: int) -> bytes:
        details = {"offset": start, "length": stop - start, "version": entry.version}
        task, channel = self._posted("read", entry.path, details, bytes_pass=True)
        found = bytearray()
        try:
            self._hub().taken(task)
            while len(found) < stop - start and (piece := channel.read()):
                found += piece
        except Broken:
            self._hub().wait(task)  # says why
            raise Interrupted(f"'{entry.path}' on storage '{self.name}' broke off.", hint="Try again.") from None
        except BaseException:
            self._hub().withdraw(task)
            raise
        told = self._hub().wait(task)
        if len(found) != stop - start:
            raise cut_off(self.name, entry.path, stop - start, len(found))
        if hashlib.sha256(found).hexdigest() != told.get("sha256"):
            message = f"A part of '{entry.path}' came from storage '{self.name}' with another digest than was sent."
            raise ResultCorrupt(message, hint="Read it again.", storage=self.name, path=entry.path)
        return bytes(found)

    def write(self, path: str, stream: Readable, size: int | None = None) -> int:
        """Return how many bytes were written; the agent and this side compare their digests before anything is there."""
        task, channel = self._posted("write", checked_path(path), {"size": size}, bytes_pass=True)
        hub = self._hub()
        hub.taken(task)
        hasher, sent = hashlib.sha256(), 0
        try:
            while piece := stream.read(PIECE):
                channel.put(piece)
                hasher.update(piece)
                sent += len(piece)
            channel.end({"size": sent, "sha256": hasher.hexdigest()})
        except Broken:
            hub.wait(task)  # says why
            raise StoreUnavailable(f"Storage '{self.name}' broke off at '{path}'.", hint="Try again.") from None
        except BaseException:
            channel.fail()
            self._given_up(task)
            raise
        told = hub.wait(task)
        if (told.get("size"), told.get("sha256")) != (sent, hasher.hexdigest()):
            raise self._lied(path, hasher.hexdigest(), told)
        return sent

    def _given_up(self, task: Task) -> None:
        """Return once the agent has heard that a file does not come to its end: until then it might still write."""
        try:
            self._hub().wait(task)
        except GemelError:
            return

    def _lied(self, path: str, expected: str, told: Mapping[str, Any]) -> ResultCorrupt:
        message = f"The agent of storage '{self.name}' kept '{path}' with another digest than was sent."
        found = str(told.get("sha256"))[:64]
        return ResultCorrupt(message, hint="gemel data verify", expected=expected, found=found, storage=self.name)

    def delete(self, path: str) -> None:
        """Remove a file, and what a killed agent was writing under its name."""
        self._done("delete", checked_path(path))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all files below a folder, as the agent comes upon them."""
        below = checked_path(prefix.rstrip("/")) if prefix else ""
        task, channel = self._posted("list", below, {}, bytes_pass=True)
        hub = self._hub()
        try:
            hub.taken(task)
            for line in _lines(channel):
                found = json.loads(line)
                yield Entry(checked_path(str(found[0])), int(found[1]), found[2])
            hub.wait(task)
        except Broken:
            hub.wait(task)  # says why
            raise StoreUnavailable(f"The list of storage '{self.name}' broke off.", hint="Try again.") from None
        finally:
            hub.withdraw(task)

    def digest(self, path: str, algorithm: str) -> str | None:
        """Return a digest that the agent computed, all known ones in one reading of the file."""
        if algorithm not in LENGTHS:
            return None
        told = self._done("digest", checked_path(path)).get("digests", {})
        value = str(told.get(algorithm, ""))
        if len(value) != LENGTHS[algorithm]:
            raise StoreUnavailable(f"The agent of storage '{self.name}' tells no {algorithm} digest.")
        return value

    def url(self, path: str) -> str:
        """Return a name for the file; nobody can read from it."""
        return f"agent://{self.name}/{quote(checked_path(path))}"

    def signed(self, path: str, seconds: int) -> str | None:
        """Return None: a site without inbound connections has no address on the web."""
        return None

    def fetch_from(self, path: str, address: str, headers: Mapping[str, str], wanted: Seen, progress: Progress) -> Seen:
        """Return size and digests of a file after the agent fetched it from an http(s) address, compared and in place.

        Args:
            path: Here.
            address: To be fetched from, by the agent.
            headers: Sent along, such as a token for this one file.
            wanted: What it must be, as far as is known; a size below 0 for not known.
            progress: Told how many bytes came; when it raises, the agent gives up and leaves nothing.

        Raises:
            ResultCorrupt: Something else came; nothing was kept.
            StoreUnavailable: The other side cannot be reached from there (`context["reach"]`), or the agent is away.
        """
        details = {"url": address, "headers": dict(headers), "size": wanted.size, "digests": dict(wanted.digests)}
        return self._carried("fetch", checked_path(path), details, progress)

    def send_to(self, path: str, address: str, headers: Mapping[str, str], progress: Progress) -> Seen:
        """Return size and digests of a file after the agent sent it to an http(s) address by PUT.

        Raises:
            StoreUnavailable: The other side cannot be reached from there (`context["reach"]`), or the agent is away.
        """
        return self._carried("send", checked_path(path), {"url": address, "headers": dict(headers)}, progress)

    def _carried(self, verb: str, path: str, details: Mapping[str, Any], progress: Progress) -> Seen:
        told = self._done(verb, path, details, progress)
        digests = {name: str(value) for name, value in dict(told.get("digests", {})).items() if name in LENGTHS}
        return Seen(int(told["size"]), digests)

    def close(self) -> None:
        """Do nothing: the exchange is the engine's."""

    def _hub(self) -> Exchange:
        if self._exchange is None:
            raise not_serving(self.name)
        return self._exchange

    def _posted(
        self, verb: str, path: str, details: Mapping[str, Any], *, bytes_pass: bool = False
    ) -> tuple[Task, Channel]:
        hub = self._hub()
        channel = Channel(hub.limits.silence)
        return hub.post(self.name, verb, {"path": path, **details}, channel if bytes_pass else None), channel

    def _done(
        self, verb: str, path: str, details: Mapping[str, Any] | None = None, progress: Progress | None = None
    ) -> Mapping[str, Any]:
        task, _ = self._posted(verb, path, details or {})
        try:
            return self._hub().wait(task, progress)
        except GemelError as error:
            # The agent knows the folder by another name than people do here.
            if error.code == "not-found":
                raise missing(self.name, path) from error
            raise


def _lines(channel: Channel) -> Iterator[bytes]:
    rest = b""
    while piece := channel.read():
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
        if len(rest) > _LINE_BYTES:
            raise Broken
    if rest:
        raise Broken
