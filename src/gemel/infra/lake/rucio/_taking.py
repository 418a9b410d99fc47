"""Rucio's data identifiers and replicas, seen here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gemel.base.errors import Conflict, InvalidInput, NotFound
from gemel.infra.lake.datasets import Datasets, Facts, Name, Record
from gemel.infra.lake.datasets._records import Records
from gemel.infra.lake.rucio._facts import Did, Held, Known
from gemel.infra.lake.rucio._lying import Lying
from gemel.infra.lake.rucio._places import Naming, Places
from gemel.infra.lake.rucio._report import Tally
from gemel.infra.lake.rucio._sending import UNTOLD, differs
from gemel.infra.lake.rucio._server import Rucio, batches
from gemel.infra.lake.transport import Digest

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass
class Taking:
    """One import.

    Args:
        server: Rucio.
        naming: Names here and there.
        places: Storages here and RSEs there.
        records: What is known here.
        datasets: The same, for groups.
        lying: Replicas by where they lie.
    """

    server: Rucio
    naming: Naming
    places: Places
    records: Records
    datasets: Datasets
    lying: Lying
    tally: Tally = field(default_factory=Tally)
    seen: set[Did] = field(default_factory=set)
    _names: dict[str, set[Name]] = field(default_factory=dict)
    _called: dict[Did, Name] = field(default_factory=dict)

    def take(self, found: Iterable[Known]) -> None:
        """Make data identifiers, and all below them, known here."""
        groups: dict[Did, tuple[Known, list[Known]]] = {}
        while True:
            below: list[Known] = []
            for batch in self._fresh(found):
                self._files([item for item in batch if item.kind == "file"])
                for item in batch:
                    if item.kind != "file":
                        groups[item.did] = item, list(self.server.members(item.did))
                        below += groups[item.did][1]
            if not below:
                break
            found = below
        for did in _inner_first(groups):
            self._group(groups[did][0], [member.did for member in groups[did][1]])

    def _fresh(self, found: Iterable[Known]) -> Iterator[list[Known]]:
        for batch in batches(found):
            fresh = {item.did: item for item in batch if item.did not in self.seen}
            self.seen |= fresh.keys()
            yield list(fresh.values())

    def _named(self, did: Did) -> Name | None:
        if did in self._called:
            return self._called[did]
        try:
            return self.naming.here(did)
        except InvalidInput as error:
            self.tally.refuse(did, error.message)
            return None

    def _files(self, batch: Sequence[Known]) -> None:
        dids = [item.did for item in batch]
        facts = self.server.known(dids)
        held = self._held(dids)
        places = {did: self.places.found(item) for did, item in held.items()}
        self._called |= self.lying.named(places)
        free = self.server.free_metadata(dids)
        entered: list[tuple[Record, str, str]] = []
        more: list[tuple[Name, str, str]] = []
        for did in dids:
            name = self._named(did)
            if name is None:
                continue
            if self._exists(name):
                more += self._again(self.records.get(name), facts.get(did), places.get(did, ()))
            elif not places.get(did):
                self.tally.refuse(name, "It has no replica on an RSE that is a storage here.")
            else:
                first, *others = places[did]
                entered.append((_record(name, facts.get(did), held[did], free.get(did, {})), *first))
                more += [(name, *place) for place in others]
        self._enter(entered)
        beside = [item for item in more if not self.tally.refuses(item[0])]
        self.lying.found(beside)
        for name, _, _ in beside:
            self.tally.new(name)

    def _held(self, dids: Sequence[Did]) -> dict[Did, Held]:
        rses = "|".join(sorted(set(self.places.rses.values())))
        return {item.did: item for item in self.server.replicas(dids, rses)} if rses else {}

    def _enter(self, entered: Sequence[tuple[Record, str, str]]) -> None:
        try:
            self.records.enter(entered)
        except Conflict as error:
            if len(entered) == 1:
                self.tally.refuse(entered[0][0].name, error.message)
                return
            # Somebody else has just given one of these names: each is tried by itself.
            for one in entered:
                self._enter([one])
            return
        for record, _, _ in entered:
            self.tally.new(record.name)
            self._names.setdefault(record.name.scope, set()).add(record.name)

    def _exists(self, name: Name) -> bool:
        if name.scope not in self._names:
            self._names[name.scope] = self.records.names(name.scope)
        return name in self._names[name.scope]

    def _again(
        self, record: Record, known: Known | None, places: Sequence[tuple[str, str]]
    ) -> list[tuple[Name, str, str]]:
        """Return the replicas of a file that is known here, and that are not."""
        reason = differs(record, known)
        lying = {(replica.storage, replica.path) for replica in record.replicas}
        if reason is not None and not (reason == UNTOLD and places and set(places) <= lying):
            self.tally.refuse(record.name, reason)
            return []
        self.tally.known(record.name)
        storages = {storage for storage, _ in lying}
        return [(record.name, *place) for place in places if place[0] not in storages]

    def _group(self, item: Known, members: Sequence[Did]) -> None:
        name = self._named(item.did)
        if name is None:
            return
        known = self.records.get(name) if self.records.exists(name) else None
        if known is not None and known.kind != item.kind:
            self.tally.refuse(name, f"It is a {known.kind} here and a {item.kind} in Rucio.")
            return
        inner = [found for did in members if (found := self._named(did)) is not None and not self.tally.refuses(found)]
        fresh = [found for found in inner if known is None or found not in known.members]
        try:
            if known is None or fresh:
                facts = Facts({"rucio": {"name": str(item.did), "account": item.account}})
                self.datasets.group(str(name), [str(found) for found in fresh], kind=item.kind, facts=facts)
        except (Conflict, InvalidInput, NotFound) as error:
            self.tally.refuse(name, error.message)
            return
        (self.tally.new if known is None or fresh else self.tally.known)(name)
        lost = len(members) - len(inner)
        if lost:
            self.tally.note(f"'{name}' has {lost} members in Rucio that could not be taken.")


def _record(name: Name, known: Known | None, held: Held, free: Mapping[str, Any]) -> Record:
    digests = {key: Digest(value, "source") for key, value in held.digests.items()}
    facts = dict(free)
    licence, sha256 = facts.pop("licence", None), str(facts.pop("sha256", "")).lower()
    if _SHA256.fullmatch(sha256):
        digests["sha256"] = Digest(sha256, "source")
    facts["rucio"] = {"name": str(held.did), "account": known.account if known else None}
    until = known.expires if known else None
    licence = str(licence) if licence else None
    return Record(name, "file", "unverified", held.size, licence, until, metadata=facts, digests=digests)


def _inner_first(groups: dict[Did, tuple[Known, list[Known]]]) -> list[Did]:
    done: dict[Did, None] = {}

    def visit(did: Did, above: tuple[Did, ...]) -> None:
        # A server's word is no reason to go round in a circle.
        if did not in done and did not in above:
            for member in groups[did][1]:
                if member.did in groups:
                    visit(member.did, (*above, did))
            done[did] = None

    for did in groups:
        visit(did, ())
    return list(done)
