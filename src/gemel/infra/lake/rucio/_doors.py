"""Ways to the files of an RSE: its protocols, opened as storages of gemel's own kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from gemel.base.errors import ConfigInvalid, InvalidInput, NotFound
from gemel.infra.lake.rucio._facts import Did, Protocol, Rse
from gemel.infra.lake.storages import LocalStorage, Storage, TokenSource, WebdavStorage

_WEB = {"https": "https", "davs": "https", "http": "http", "dav": "http"}
_PORTS = {"https": 443, "http": 80}
# Options of the storage that the servers of the files are told, by the name that these know.
_DATA = {"data_token": "token", "data_user": "user", "data_password": "password", "profile": "profile", "ca": "ca"}


@dataclass(frozen=True)
class Door:
    """A storage over one protocol of an RSE; paths are those below the protocol's prefix."""

    protocol: Protocol
    storage: Storage

    def path(self, place: str) -> str | None:
        """Return the path of an address (PFN), or None when it does not lie behind this door."""
        return below(self.protocol, place)


class Doors:
    """The ways to one RSE's files that gemel can go.

    Args:
        name: Of the storage.
        rse: With its protocols.
        options: Of the storage: `data_token`, `data_user`, `data_password`, `profile`, `ca`, and `files`.
        tokens: Where tokens come from, with a `profile`.

    Raises:
        ConfigInvalid: There is no way.
    """

    def __init__(self, name: str, rse: Rse, options: Mapping[str, str], tokens: TokenSource | None) -> None:
        self._name, self._rse = name, rse
        self._doors = list(_opened(name, rse, options, tokens))
        if not self._doors:
            known = ", ".join(sorted({item.scheme for item in rse.protocols})) or "none"
            hint = "https and davs can be used; file too, with files=yes, where the RSE's files lie on this machine."
            raise ConfigInvalid(f"RSE {rse.name} of storage '{name}' has no way that can be used: {known}.", hint=hint)

    def through(self, places: tuple[str, ...]) -> tuple[Storage, str]:
        """Return the storage and the path by which one of some addresses (PFNs) is reached.

        Raises:
            NotFound: None of them lies behind a door.
        """
        for door in self._doors:
            for place in places:
                path = door.path(place)
                if path is not None:
                    return door.storage, path
        shown = ", ".join(urlsplit(place).scheme for place in places)
        raise NotFound(f"No replica on RSE {self._rse.name} can be reached from here ({shown}).", storage=self._name)

    def entrance(self) -> Door:
        """Return the door through which files are written.

        Raises:
            InvalidInput: There is none.
        """
        found = next((door for door in self._doors if door.protocol.writable), None)
        if found is None:
            raise InvalidInput(f"RSE {self._rse.name} of storage '{self._name}' takes no files from here.")
        return found

    def close(self) -> None:
        """Let connections go."""
        for door in self._doors:
            door.storage.close()


def address(protocol: Protocol, path: str) -> str:
    """Return the address (PFN) of a path below a protocol's prefix."""
    port = f":{protocol.port}" if protocol.port else ""
    spelled = quote(path) if protocol.scheme in _WEB else path
    return f"{protocol.scheme}://{protocol.host}{port}{protocol.prefix.rstrip('/')}/{spelled}"


def own_path(did: Did) -> str:
    """Return where a file lies on an RSE that leaves it to others to say where."""
    return f"{did.scope}/{did.name.strip('/')}"


def below(protocol: Protocol, place: str) -> str | None:
    """Return the path of an address (PFN) below a protocol's prefix, or None when it is another's.

    >>> protocol = Protocol("davs", "dav.example.org", 0, "/data/")
    >>> below(protocol, "https://dav.example.org:443/data/a/b%20c"), below(protocol, "davs://dav.example.org/other")
    ('a/b c', None)
    """
    parts, prefix = urlsplit(place), f"{protocol.prefix.rstrip('/')}/"
    scheme = _WEB.get(parts.scheme, parts.scheme)
    if scheme != _WEB.get(protocol.scheme, protocol.scheme):
        return None
    if scheme != "file":
        port = _PORTS.get(scheme, 0)
        if ((parts.hostname or ""), parts.port or port) != (protocol.host.lower(), protocol.port or port):
            return None
    # The names of files on this machine are no addresses: what looks like an escape there is part of the name.
    path = parts.path if scheme == "file" else unquote(parts.path)
    # A name that begins with a slash doubles one in its address: to a folder that is the same.
    path = "/" + "/".join(part for part in path.split("/") if part)
    return path.removeprefix(prefix) if path.startswith(prefix) and path != prefix else None


def _opened(name: str, rse: Rse, options: Mapping[str, str], tokens: TokenSource | None) -> Iterator[Door]:
    if options.get("files") == "yes":
        for protocol in rse.protocols:
            if protocol.scheme == "file":
                yield Door(protocol, LocalStorage(name, {"folder": protocol.prefix}))
    told = {inner: options[outer] for outer, inner in _DATA.items() if outer in options}
    for protocol in sorted(rse.protocols, key=lambda item: _WEB.get(item.scheme) != "https"):
        if protocol.scheme in _WEB:
            scheme = _WEB[protocol.scheme]
            url = f"{scheme}://{protocol.host}:{protocol.port or _PORTS[scheme]}{protocol.prefix.rstrip('/')}"
            yield Door(protocol, WebdavStorage(name, {"url": url} | told, tokens))
