"""Which names, scopes and storages here are which there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gemel.base.errors import ConfigInvalid, InvalidInput
from gemel.infra.lake.datasets import Name, Replica
from gemel.infra.lake.datasets._records import HERE
from gemel.infra.lake.rucio._doors import address, below
from gemel.infra.lake.rucio._facts import Did, Held, Rse
from gemel.infra.lake.rucio._names import checked_scope, named_here, there
from gemel.infra.lake.rucio._server import Rucio
from gemel.infra.lake.rucio._storage import RucioStorage
from gemel.infra.lake.storages import LocalStorage, Storage, Storages


class Naming:
    """Names here and there.

    Args:
        scopes: Those of Rucio's by ours, where they differ: Rucio's have 25 letters at most, and upper case too.

    Raises:
        ConfigInvalid: Two of ours would be one there.
    """

    def __init__(self, scopes: Mapping[str, str]) -> None:
        self._there = {ours: checked_scope(theirs) for ours, theirs in scopes.items()}
        self._here = {theirs: ours for ours, theirs in self._there.items()}
        if len(self._here) != len(self._there):
            raise ConfigInvalid("Two scopes here cannot be one in Rucio.")

    def there(self, name: Name) -> Did:
        """Return the data identifier of a name.

        Raises:
            InvalidInput: It cannot have one.
        """
        scope = self._there.get(name.scope, name.scope)
        if self._here.get(scope, name.scope) != name.scope:
            raise InvalidInput(f"Scope '{scope}' of Rucio stands for '{self._here[scope]}' here.")
        return Did(checked_scope(scope), there(name.name))

    def here(self, did: Did) -> Name:
        """Return the name of a data identifier.

        Raises:
            InvalidInput: It cannot have one.
        """
        scope = self._here.get(did.scope, did.scope)
        if self._there.get(scope, did.scope) != did.scope:
            raise InvalidInput(f"Scope '{scope}' stands for '{self._there[scope]}' in Rucio.")
        try:
            return named_here(scope, did.name)
        except InvalidInput as error:
            hint = "Give its scope a name of lower-case letters here, if it is the scope."
            raise InvalidInput(f"'{did}' cannot be a name here: {error.message}", hint=hint) from error


@dataclass(frozen=True)
class Seat:
    """Where a replica here lies there: its RSE, its address unless Rucio finds it by itself, and whether it is known."""

    rse: str
    place: str | None = None
    present: bool = False


class Places:
    """Storages here that are RSEs there: those of the kind `rucio` at the same server, and others by declaration.

    Args:
        storages: Of the engine.
        server: The Rucio server.
        rses: RSEs by the storages that they are, beside those of the kind `rucio`.
    """

    def __init__(self, storages: Storages, server: Rucio, rses: Mapping[str, str]) -> None:
        self._storages, self._server = storages, server
        self.rses = {name: rse for name, rse in rses.items() if storages.get(name)}
        for item in storages.list():
            if item.kind == RucioStorage.kind and item.options.get("url", "").rstrip("/") == server.url:
                self.rses.setdefault(item.name, item.options["rse"])
        self._elements: dict[str, Rse] = {}

    def seat(self, replica: Replica, did: Did) -> Seat | None:
        """Return where a replica lies there; None when its storage is no RSE.

        Raises:
            InvalidInput: The RSE has no way that leads to it, or knows it under another name.
        """
        rse = self.rses.get(replica.storage)
        if rse is None:
            return None
        storage = self._storages.get(replica.storage)
        if isinstance(storage, RucioStorage):
            known = storage.did(replica.path)
            if known != did:
                raise InvalidInput(f"It lies on {rse} as '{known}' already, and Rucio gives a file no second name.")
            return Seat(rse, present=True)
        place = self._address(storage, replica.path, rse)
        element = self._element(rse)
        if not element.deterministic:
            return Seat(rse, place)
        wanted = self._server.place(rse, did, place.partition(":")[0])
        if wanted != place:
            raise InvalidInput(f"RSE {rse} is deterministic and wants it at '{wanted}', not at '{place}'.")
        return Seat(rse)

    def lies_as(self, replicas: Iterable[Replica]) -> Did | None:
        """Return the data identifier under which a file lies on an RSE already; None when it lies on none."""
        for replica in replicas:
            if replica.storage in self.rses and replica.state == HERE:
                storage = self._storages.get(replica.storage)
                if isinstance(storage, RucioStorage):
                    return storage.did(replica.path)
        return None

    def found(self, held: Held) -> list[tuple[str, str]]:
        """Return the storages here that hold a file of Rucio's, each with the path there."""
        found = []
        for name, rse in self.rses.items():
            if held.available(rse):
                path = self._path(self._storages.get(name), held.did, rse, held.places[rse])
                if path is not None:
                    found.append((name, path))
        return found

    def _path(self, storage: Storage, did: Did, rse: str, places: tuple[str, ...]) -> str | None:
        if isinstance(storage, RucioStorage):
            return storage.path(did)
        for protocol in self._element(rse).protocols:
            root = below(protocol, _location(storage, "x"))
            if root is None:
                continue
            for place in places:
                path = below(protocol, place)
                if path is not None and path.startswith(root[:-1]):
                    return path[len(root) - 1 :]
        return None

    def _address(self, storage: Storage, path: str, rse: str) -> str:
        location = _location(storage, path)
        for protocol in self._element(rse).protocols:
            found = below(protocol, location)
            if found is not None:
                return address(protocol, found)
        raise InvalidInput(f"RSE {rse} has no protocol that leads to storage '{storage.name}'.")

    def _element(self, rse: str) -> Rse:
        if rse not in self._elements:
            self._elements[rse] = self._server.rse(rse)
        return self._elements[rse]


def _location(storage: Storage, path: str) -> str:
    # Rucio takes the path of a file on a machine as it is, where gemel writes a URL.
    return f"file://localhost{storage.path(path)}" if isinstance(storage, LocalStorage) else storage.url(path)
