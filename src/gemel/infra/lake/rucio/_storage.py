"""A Rucio Storage Element: what Rucio knows of its files, and their bytes by way of its protocols."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar

from gemel.base.errors import ConfigInvalid, Conflict, Denied, GemelError, InvalidInput, NotFound, ResultCorrupt
from gemel.infra.lake.rucio._doors import Doors, address, own_path
from gemel.infra.lake.rucio._facts import Did, Held, Rse
from gemel.infra.lake.rucio._names import checked_scope, path_here, there
from gemel.infra.lake.rucio._server import Rucio, batches
from gemel.infra.lake.storages import Entry, Readable, Storage, TokenSource, checked_path
from gemel.infra.lake.storages._storage import Statted, checked_options, missing

_REMEMBERED = 10_000  # files written through this object


class RucioStorage(Statted):
    """An RSE of a Rucio server. A path is `scope/name`, or the name alone where the storage has a `scope`.

    Sizes and digests are those that Rucio keeps; bytes go over the RSE's own protocols (https, davs, http; `file` where
    its files lie on this machine and `files=yes` says so). Names are spelled in Rucio's letters there, and come back.

    Rucio differs from other storages in three things. A name means the same bytes for ever: `write` raises `Conflict`
    where a file of that name lies on the RSE, and `ResultCorrupt` where Rucio knows the name with other digests. What
    a rule holds cannot be deleted (`Conflict`). And what was deleted can be written anew only after Rucio's reaper has
    forgotten it (`Conflict` until then).

    Args:
        name: As declared.
        options: `url` of the server, `rse`, `account`; `user` and `password`, or `token`, or `profile`, to sign in
            there (secrets as references); `data_token`, or `data_user` and `data_password`, for the servers of the
            files, which a `profile` serves too; `scope`; `vo`; `ca`; `files`.
        tokens: Where tokens come from, with a `profile`.
    """

    kind = "rucio"
    writable = True
    takes_tokens = True
    known: ClassVar[dict[str, bool]] = Rucio.takes | {
        "rse": True, "scope": False, "files": False, "data_token": False, "data_user": False, "data_password": False,
    }  # fmt: skip
    secrets: ClassVar[tuple[str, ...]] = (*Rucio.secrets, "data_token", "data_password")

    def __init__(self, name: str, options: Mapping[str, str], tokens: TokenSource | None = None) -> None:
        checked_options(self.kind, options, self.known, self.secrets)
        if options.get("files", "no") not in ("yes", "no"):
            raise ConfigInvalid(f"files={options['files'][:40]} is neither yes nor no.")
        self.name, self.rse = name, options["rse"]
        self.server = Rucio(name, options, tokens)
        self._options, self._tokens = dict(options), tokens
        self._scope = checked_scope(options["scope"]) if "scope" in options else None
        self._reached: tuple[Rse, Doors] | None = None
        self._written: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def did(self, path: str) -> Did:
        """Return the data identifier of a path.

        Raises:
            InvalidInput: It cannot be one.
        """
        checked_path(path)
        scope, _, name = (self._scope, "", path) if self._scope is not None else path.partition("/")
        if not name:
            hint = "Write it like scope/name, or declare the storage with a scope."
            raise InvalidInput(f"{path[:80]!r} on storage '{self.name}' names no file of Rucio's.", hint=hint)
        return Did(checked_scope(scope), there(name))

    def path(self, did: Did) -> str | None:
        """Return the path of a data identifier; None when it is not in the storage's scope, or cannot be spelled."""
        if self._scope not in (None, did.scope):
            return None
        try:
            return path_here(did.name) if self._scope else f"{did.scope}/{path_here(did.name)}"
        except InvalidInput:
            return None

    def stat(self, path: str) -> Entry:
        """Return what Rucio knows of a file that can be read on this RSE."""
        held = self._held(path)
        return Entry(path, held.size, None, held.digests.get("adler32"))

    def open(self, path: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """Return a part of a file over one of the RSE's protocols.

        Raises:
            ResultCorrupt: It is not of the size that Rucio tells.
        """
        held = self._held(path)
        storage, place = self._doors().through(held.places[self.rse])
        size = storage.size(place)
        if size != held.size:
            message = f"'{path}' on storage '{self.name}' has {size} bytes, and Rucio says {held.size}."
            raise ResultCorrupt(message, hint="gemel data verify", path=path)
        return storage.open(place, offset, length)

    def write(self, path: str, stream: Readable, size: int | None = None) -> int:
        """Return how many bytes were written to where Rucio wants them, and registered there."""
        did = self.did(path)
        rules = self._expected(did, path)
        storage, place, target = self._target(did)
        summed = _Summed(stream)
        written = storage.write(place, summed, size)
        try:
            summed.compare(rules, path)
            self._enter(did, target, summed)
        except GemelError:
            self._take_back(did, storage, place)
            raise
        with self._lock:
            self._written[path] = None
            while len(self._written) > _REMEMBERED:
                self._written.popitem(last=False)
        return written

    def _take_back(self, did: Did, storage: Storage, place: str) -> None:
        """Remove a file that was not registered; one that somebody else has registered meanwhile stays."""
        with contextlib.suppress(GemelError):
            if self._registered(did) is None:
                storage.delete(place)

    def _registered(self, did: Did) -> Held | None:
        """Return a file with its replica on this RSE, whatever its state; None when it has none."""
        held = next(iter(self.server.replicas([did], self.rse, every=True)), None)
        return held if held is not None and self.rse in held.states else None

    def delete(self, path: str) -> None:
        """Give a replica up: it is no longer read, Rucio's reaper forgets it, and its file is removed.

        Raises:
            Conflict: A rule holds it.
            Denied: The account may not; where it may leave it to the reaper, it is left to it.
        """
        try:
            held = self._held(path)
        except NotFound:
            self._sweep(self.did(path))
            raise
        self.server.entomb(self.rse, held.did)
        try:
            self.server.set_state(self.rse, held.did, "U")
        except Denied as error:
            hint = "The reaper of Rucio will remove it."
            raise Denied(f"'{path}' on storage '{self.name}' is left to Rucio: {error.message}", hint=hint) from error
        storage, place = self._doors().through(held.places[self.rse])
        with contextlib.suppress(NotFound):
            storage.delete(place)

    def _sweep(self, did: Did) -> None:
        """Remove what a killed process wrote and had no time to register."""
        if self._registered(did) is None:
            with contextlib.suppress(InvalidInput, NotFound):
                storage, place, _ = self._target(did)
                storage.delete(place)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all files on the RSE below a folder: of all scopes, where the storage has none and none is named.

        A name that cannot be spelled here is left out; `RucioExchange` reports such.
        """
        below = checked_path(prefix.rstrip("/")) + "/" if prefix.rstrip("/") else ""
        for scope, pattern in self._searches(below):
            files = (item.did for item in self.server.find(scope, pattern, "file"))
            for batch in batches(files):
                yield from self._entries(batch, below)

    def _searches(self, below: str) -> Iterator[tuple[str, str]]:
        if self._scope is not None:
            yield self._scope, f"{there(below[:-1])}/*" if below else "*"
        elif below:
            scope, _, rest = below.partition("/")
            yield checked_scope(scope), f"{there(rest[:-1])}/*" if rest else "*"
        else:
            yield from ((scope, "*") for scope in sorted(self.server.scopes()))

    def _entries(self, batch: Sequence[Did], below: str) -> Iterator[Entry]:
        for held in self.server.replicas(batch, self.rse):
            path = self.path(held.did) if held.available(self.rse) else None
            if path is not None and path.startswith(below):
                yield Entry(path, held.size, None, held.digests.get("adler32"))

    def digest(self, path: str, algorithm: str) -> str | None:
        """Return the digest that Rucio keeps, or None; of a file that was just written, only what its server tells.

        What Rucio was told by this very storage is no second opinion.
        """
        held = self._held(path)
        if path not in self._written:
            return held.digests.get(algorithm)
        storage, place = self._doors().through(held.places[self.rse])
        return storage.digest(place, algorithm)

    def url(self, path: str) -> str:
        """Return how Rucio is asked for a file."""
        did = self.did(path)
        return f"{self.server.url}/replicas/{did.scope}/{did.name}"

    def signed(self, path: str, seconds: int) -> str | None:
        """Return an address that anybody can read ranges of, where a protocol of the RSE needs no token; or None."""
        storage, place = self._doors().through(self._held(path).places[self.rse])
        return storage.signed(place, seconds)

    def close(self) -> None:
        """Let connections go."""
        self.server.close()
        if self._reached is not None:
            self._reached[1].close()

    def _held(self, path: str) -> Held:
        did = self.did(path)
        for held in self.server.replicas([did], self.rse):
            if held.did == did and held.available(self.rse):
                return held
        raise missing(self.name, path)

    def _doors(self) -> Doors:
        return self._element()[1]

    def _element(self) -> tuple[Rse, Doors]:
        with self._lock:
            if self._reached is None:
                rse = self.server.rse(self.rse)
                self._reached = rse, Doors(self.name, rse, self._options, self._tokens)
            return self._reached

    def _expected(self, did: Did, path: str) -> Held | None:
        """Return what a new file of this name has to be, where Rucio knows the name."""
        known = self.server.known([did]).get(did)
        if known is None:
            return None
        hint = "A name means the same bytes for ever in Rucio: choose another one."
        if known.kind != "file":
            raise Conflict(f"'{did}' is a {known.kind} in Rucio.", hint=hint, path=path)
        held = self._registered(did)
        if held is not None and held.available(self.rse):
            raise Conflict(f"There is a file '{path}' on storage '{self.name}' already.", hint=hint, path=path)
        if held is not None:
            # What was given to the reaper stays the reaper's: it would take the new file too.
            state = held.states.get(self.rse, "unknown").lower()
            message = f"Rucio is not done with '{path}' on storage '{self.name}': its replica is {state}."
            raise Conflict(message, hint="Wait for Rucio's reaper, or choose another name.", path=path)
        return Held(did, known.size or 0, known.digests, {}, {})

    def _target(self, did: Did) -> tuple[Storage, str, str]:
        rse, doors = self._element()
        door = doors.entrance()
        if rse.deterministic:
            target = self.server.place(self.rse, did, door.protocol.scheme)
        else:
            target = address(door.protocol, own_path(did))
        path = door.path(target)
        if path is None:
            raise InvalidInput(f"Rucio wants '{did}' outside of what RSE {self.rse} declares.", storage=self.name)
        return door.storage, path, target

    def _enter(self, did: Did, target: str, summed: _Summed) -> None:
        told: dict[str, Any] = did.body | {"bytes": summed.size, **summed.digests()}
        told |= {} if self._element()[0].deterministic else {"pfn": target}
        self.server.add_replicas(self.rse, [told])
        held = self._registered(did)
        # Rucio takes another digest of a known name without a word: somebody may have been quicker.
        if held is None or any(held.digests.get(key, value) != value for key, value in summed.digests().items()):
            raise Conflict(
                f"Somebody else has just given other bytes to '{did}' in Rucio.", hint="Choose another name."
            )


class _Summed:
    """A stream that knows the digests that Rucio takes."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self.size = stream, 0
        self._adler = 1  # RFC 1950, section 8.2: the sum begins with 1
        self._md5 = hashlib.md5(usedforsecurity=False)

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        piece = self._stream.read(size)
        self._adler = zlib.adler32(piece, self._adler)
        self._md5.update(piece)
        self.size += len(piece)
        return piece

    def digests(self) -> dict[str, str]:
        return {"adler32": f"{self._adler:08x}", "md5": self._md5.hexdigest()}

    def compare(self, expected: Held | None, path: str) -> None:
        """Raise unless what passed by is what Rucio knows of the name."""
        if expected is None:
            return
        seen = self.digests()
        wrong = [name for name, value in expected.digests.items() if seen[name] != value]
        if wrong or expected.size != self.size:
            message = f"Rucio knows '{path}' with other bytes ({expected.size} of them)."
            raise ResultCorrupt(message, hint="A name means the same bytes for ever there: choose another one.")
