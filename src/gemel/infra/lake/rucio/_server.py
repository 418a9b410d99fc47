"""The verbs of a Rucio server, as far as gemel needs them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from gemel.base.errors import InvalidInput, NotFound, StoreUnavailable
from gemel.infra.lake.rucio._client import Client, spelled
from gemel.infra.lake.rucio._facts import Did, Held, Known, Protocol, Rse, ThereRule

T = TypeVar("T")
BATCH = 500  # things that are asked for or registered in one request: 500 replicas take a second on SQLite
# What `DID_COLUMN` keeps (`rucio.core.did_meta_plugins.did_column_meta` of Rucio 41.5.1), and what it takes besides.
COLUMNS = frozenset(
    [
        "access_cnt",
        "accessed_at",
        "account",
        "adler32",
        "availability",
        "bytes",
        "campaign",
        "closed_at",
        "complete",
        "constituent",
        "created_at",
        "datatype",
        "deleted_at",
        "did_type",
        "eol_at",
        "events",
        "expired_at",
        "guid",
        "hidden",
        "is_archive",
        "is_new",
        "is_open",
        "length",
        "lifetime",
        "lumiblocknr",
        "md5",
        "monotonic",
        "name",
        "obsolete",
        "panda_id",
        "phys_group",
        "prod_step",
        "project",
        "provenance",
        "purge_replicas",
        "run_number",
        "scope",
        "stream_name",
        "suppressed",
        "task_id",
        "transient",
        "updated_at",
        "version",
    ]
)
_IMPLEMENTATIONS = {
    "file": "rucio.rse.protocols.posix.Default",
    "http": "rucio.rse.protocols.webdav.Default",
    "https": "rucio.rse.protocols.webdav.Default",
    "davs": "rucio.rse.protocols.gfal.Default",
}
_LOCAL = {"read": 1, "write": 1, "delete": 1}
_REMOTE = _LOCAL | {"third_party_copy_read": 1, "third_party_copy_write": 1}


class Rucio(Client):
    """A Rucio server.

    Errors are those of `Client.ask`: `NotFound`, `Conflict`, `Denied`, `Unauthenticated`, `InvalidInput`, `StoreFull`,
    as the server says, else `StoreUnavailable`.
    """

    def version(self) -> str:
        """Return the server's version."""
        return str((self.ask("GET", "/ping") or {}).get("version", ""))

    def describe(self, account: str | None = None) -> dict[str, Any]:
        """Return what is known of an account (default: the own one)."""
        return dict(self.ask("GET", spelled("accounts", account or self.account)))

    def limits(self, account: str | None = None) -> dict[str, int]:
        """Return how many bytes rules of an account may keep, by RSE."""
        told = self.ask("GET", spelled("accounts", account or self.account, "limits", "local")) or {}
        return {name: int(size) for name, size in told.items()}

    def set_limit(self, rse: str, size: int, account: str | None = None) -> None:
        """Set how many bytes rules of an account may keep on an RSE."""
        self.ask("POST", spelled("accounts", account or self.account, "limits", "local", rse), {"bytes": size})

    def scopes(self) -> set[str]:
        """Return all scopes."""
        return set(self.ask("GET", "/scopes/") or ())

    def add_scope(self, scope: str, account: str | None = None) -> None:
        """Make a scope that belongs to an account (default: the own one)."""
        self.ask("POST", spelled("scopes", account or self.account, scope))

    def find(self, scope: str, pattern: str = "*", kind: str = "all", since: datetime | None = None) -> Iterator[Known]:
        """Yield the data identifiers of a scope whose name fits a pattern with `*`.

        Args:
            scope: Of Rucio's.
            pattern: Of names.
            kind: `all`, `file`, `dataset`, `container` or `collection`.
            since: Only those made after it; to the second.
        """
        asked = {"type": kind, "name": pattern, "long": "True"}
        if since is not None:
            asked["created_after"] = f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"
        for told in self.lines("GET", spelled("dids", scope, "dids", "search"), params=asked):
            yield Known.read(told)

    def known(self, dids: Iterable[Did]) -> dict[Did, Known]:
        """Return what is known of those of some data identifiers that are there."""
        found: dict[Did, Known] = {}
        for batch in batches(dids):
            for told in self.lines("POST", "/dids/bulkmeta", {"dids": [did.body for did in batch]}):
                item = Known.read(told)
                found[item.did] = item
        return found

    def get(self, did: Did) -> Known:
        """Return what is known of one data identifier."""
        return Known.read(self.ask("GET", spelled("dids", *did)))

    def members(self, did: Did) -> Iterator[Known]:
        """Yield what a dataset or a container holds."""
        for told in self.lines("GET", spelled("dids", *did, "dids")):
            yield Known.read(told)

    def add_groups(self, groups: Sequence[tuple[Did, str, float | None]]) -> None:
        """Make datasets and containers, each with its kind and its lifetime in seconds (None for ever)."""
        for batch in batches(groups):
            told = [
                did.body | {"type": kind.upper()} | ({} if life is None else {"lifetime": int(life)})
                for did, kind, life in batch
            ]
            self.ask("POST", "/dids", told)

    def attach(self, did: Did, members: Iterable[Did]) -> None:
        """Put members into a group; those that are in it stay."""
        for batch in batches(members):
            told = did.body | {"dids": [member.body for member in batch]}
            self.ask("POST", "/dids/attachments", {"attachments": [told], "ignore_duplicate": True})

    def detach(self, did: Did, members: Iterable[Did]) -> None:
        """Take members out of a group."""
        for batch in batches(members):
            self.ask("DELETE", spelled("dids", *did, "dids"), {"dids": [member.body for member in batch]})

    def metadata(self, did: Did, plugin: str = "DID_COLUMN") -> dict[str, Any]:
        """Return the metadata that one of the server's plugins keeps."""
        return dict(self.ask("GET", spelled("dids", *did, "meta"), params={"plugin": plugin}) or {})

    def free_metadata(self, dids: Iterable[Did]) -> dict[Did, dict[str, Any]]:
        """Return the free metadata (the plugin `JSON`) of data identifiers that have some.

        Empty for a server that keeps none: it answers with a bare status 500 (Rucio 41.5.1 on SQLite).
        """
        found: dict[Did, dict[str, Any]] = {}
        try:
            for batch in batches(dids):
                asked = {"dids": [did.body for did in batch], "plugin": "JSON"}
                for told in self.lines("POST", "/dids/bulkmeta", asked):
                    did = Did(str(told.pop("scope")), str(told.pop("name")))
                    found |= {did: told} if told else {}
        except StoreUnavailable as error:
            if error.context.get("status") != 500:
                raise
        return found

    def set_metadata(self, did: Did, metadata: Mapping[str, Any]) -> None:
        """Set metadata; `InvalidInput` where no plugin of the server keeps such (on SQLite only its own columns).

        Keys in `COLUMNS` are Rucio's own: they change what it knows of the file.
        """
        self.ask("POST", spelled("dids", *did, "meta"), {"meta": dict(metadata)})

    def replicas(self, dids: Iterable[Did], expression: str | None = None, *, every: bool = False) -> Iterator[Held]:
        """Yield files with their replicas; files that are not there are left out.

        Args:
            dids: Of files, or of groups of them.
            expression: Of the RSEs that are asked about; default all.
            every: Whether replicas are listed too that cannot be read now.
        """
        # Any order but that by place on earth: for it the server may try to download a database at each replica.
        asked: dict[str, Any] = {"sort": "random", "all_states": every}
        asked |= {"rse_expression": expression} if expression else {}
        for batch in batches(dids):
            for told in self.lines("POST", "/replicas/list", asked | {"dids": [did.body for did in batch]}):
                yield Held.read(told)

    def add_replicas(self, rse: str, files: Iterable[Mapping[str, Any]]) -> None:
        """Register files on an RSE: `scope`, `name`, `bytes`, and `adler32`, `md5` and `pfn` where there are any.

        A file that is known with other digests is taken without a word (Rucio 41.5.1): compare before.
        """
        for batch in batches(files):
            self.ask("POST", "/replicas", {"rse": rse, "files": [dict(item) for item in batch]})

    def set_state(self, rse: str, did: Did, state: str) -> None:
        """Set whether a replica can be read: `A` or `U`."""
        self.ask("PUT", "/replicas", {"rse": rse, "files": [did.body | {"state": state}]})

    def entomb(self, rse: str, did: Did) -> None:
        """Give a replica to Rucio's reaper; `Conflict` while a rule holds it."""
        self.ask("POST", "/replicas/tombstone", {"replicas": [did.body | {"rse": rse}]})

    def rses(self, expression: str | None = None) -> list[str]:
        """Return the names of all RSEs, or of those that an expression means."""
        params = {"expression": expression} if expression else None
        return [str(told["rse"]) for told in self.lines("GET", "/rses/", params=params)]

    def rse(self, name: str) -> Rse:
        """Return an RSE with its protocols."""
        return Rse.read(self.ask("GET", spelled("rses", name)))

    def attributes(self, rse: str) -> dict[str, Any]:
        """Return the attributes of an RSE."""
        return dict(self.ask("GET", f"{spelled('rses', rse, 'attr')}/") or {})

    def set_attribute(self, rse: str, name: str, value: str | bool) -> None:
        """Set an attribute of an RSE."""
        self.ask("POST", spelled("rses", rse, "attr", name), {"value": value})

    def add_rse(self, name: str, *, deterministic: bool = True) -> None:
        """Make an RSE."""
        self.ask("POST", spelled("rses", name), {"deterministic": deterministic})

    def add_protocol(self, rse: str, protocol: Protocol) -> None:
        """Give an RSE a way to its files.

        Raises:
            InvalidInput: The scheme is not one of file, http, https, davs.
        """
        if protocol.scheme not in _IMPLEMENTATIONS:
            raise InvalidInput(f"There is no way '{protocol.scheme[:40]}' to an RSE.", hint="file, http, https, davs")
        domains = {"lan": _LOCAL, "wan": _LOCAL if protocol.scheme == "file" else _REMOTE}
        place = {"hostname": protocol.host, "port": protocol.port, "prefix": protocol.prefix}
        told = place | {"impl": _IMPLEMENTATIONS[protocol.scheme], "domains": domains}
        self.ask("POST", spelled("rses", rse, "protocols", protocol.scheme), told)

    def place(self, rse: str, did: Did, scheme: str) -> str:
        """Return the address (PFN) under which a deterministic RSE wants a new file."""
        asked = {"lfn": str(did), "scheme": scheme, "operation": "write"}
        told = self.ask("GET", spelled("rses", rse, "lfns2pfns"), params=asked)
        found = next(iter(told.values()), None) if isinstance(told, dict) else None
        if not isinstance(found, str):
            raise StoreUnavailable(f"Rucio does not say where '{did}' is to lie on {rse}.", storage=self.name)
        return found

    def rules(self, scope: str, name: str | None = None) -> list[ThereRule]:
        """Return the rules of a scope, or of one name in it."""
        asked = {"scope": scope} | ({"name": name} if name else {})
        return [ThereRule.read(told) for told in self.lines("GET", "/rules/", params=asked)]

    def rule(self, id: str) -> ThereRule:
        """Return one rule."""
        return ThereRule.read(self.ask("GET", spelled("rules", id)))

    def add_rule(self, did: Did, copies: int, expression: str, **more: Any) -> str:
        """Return the id of a new rule; `more` as Rucio names it (`lifetime` in seconds, `priority`, `comment`, ...)."""
        told = {"dids": [did.body], "account": self.account, "copies": copies, "rse_expression": expression}
        made = self.ask("POST", "/rules/", told | {"grouping": "NONE"} | more)
        if not isinstance(made, list) or not made:
            raise StoreUnavailable(f"Rucio does not name the rule that it made: {json.dumps(made)[:80]}.")
        return str(made[0])

    def remove_rule(self, id: str) -> None:
        """Let a rule end; the judge of Rucio removes it within the hour."""
        self.ask("DELETE", spelled("rules", id), {})

    def locks(self, id: str) -> list[dict[str, Any]]:
        """Return which replicas a rule holds, each with `scope`, `name`, `rse` and `state`."""
        return list(self.lines("GET", spelled("rules", id, "locks")))

    def has(self, did: Did) -> bool:
        """Return whether there is a data identifier of that name."""
        try:
            self.get(did)
        except NotFound:
            return False
        return True


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield items by the number that one request takes."""
    waiting = iter(items)
    while batch := list(islice(waiting, BATCH)):
        yield batch
