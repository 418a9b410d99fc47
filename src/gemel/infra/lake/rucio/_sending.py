"""Our datasets, replicas and rules, seen in Rucio."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gemel.base.errors import Conflict, Denied, InvalidInput, NotFound, StoreFull, Unauthenticated
from gemel.infra.lake.datasets import Name, Record
from gemel.infra.lake.datasets._records import HERE, Records
from gemel.infra.lake.keeping import Rule
from gemel.infra.lake.rucio._facts import Did, Known
from gemel.infra.lake.rucio._places import Naming, Places, Seat
from gemel.infra.lake.rucio._placing import expressions, importance
from gemel.infra.lake.rucio._report import Tally
from gemel.infra.lake.rucio._server import COLUMNS, Rucio, batches

_REFUSALS = (Conflict, Denied, InvalidInput, NotFound, StoreFull)
UNTOLD = "No digest of it is known both here and in Rucio: whether it is the same cannot be told."
_TAKEN = ("adler32", "md5")  # digests that Rucio keeps


@dataclass
class Sending:
    """One export.

    Args:
        server: Rucio.
        naming: Names here and there.
        places: Storages here and RSEs there.
        records: What is known here.
    """

    server: Rucio
    naming: Naming
    places: Places
    records: Records
    tally: Tally = field(default_factory=Tally)
    _dids: dict[Name, Did] = field(default_factory=dict)
    _known: Mapping[Did, Known] = field(default_factory=dict)
    _reasons: dict[Name, str] = field(default_factory=dict)
    _plain: bool = False

    def send(self, names: Iterable[Name]) -> None:
        """Make names, and all below them, known there."""
        found = self._all(names)
        self._choose(found)
        told = [record for record in found.values() if record.name in self._dids]
        for batch in batches(record for record in told if record.kind == "file"):
            self._files(batch)
        for record in _inner_first([record for record in told if record.kind != "file"]):
            self._group(record)

    def rules(self, rules: Iterable[Rule]) -> None:
        """Make the rules about what was sent known there."""
        for rule in rules:
            did = self._dids.get(rule.name)
            if did is None or self.tally.refuses(rule.name):
                continue
            try:
                asked = expressions(rule, self.places.rses)
            except InvalidInput as error:
                self.tally.refuse(rule.id, error.message)
                continue
            for copies, expression in asked:
                self._rule(rule, did, copies, expression)

    def _choose(self, found: Mapping[Name, Record]) -> None:
        """Settle what each is called there: its own name, or the one that it has by lying on an RSE."""
        scopes = self.server.scopes()
        spelled = {name: did for name, record in found.items() if (did := self._did(record, scopes)) is not None}
        lies = {name: self.places.lies_as(record.replicas) for name, record in found.items()}
        lying = {name: did for name, did in lies.items() if did is not None}
        self._known = self.server.known({*spelled.values(), *lying.values()})
        for name in found:
            own = spelled.get(name)
            if name in lying and lying[name] != own and own not in self._known:
                self._dids[name] = lying[name]
                self.tally.note(f"'{name}' is '{lying[name]}' in Rucio: Rucio gives a file no second name.")
            elif own is not None:
                self._dids[name] = own
            else:
                self.tally.refuse(name, self._reasons[name])

    def _did(self, record: Record, scopes: Collection[str]) -> Did | None:
        try:
            did = self.naming.there(record.name)
        except InvalidInput as error:
            self._reasons[record.name] = error.message
            return None
        self._reasons[record.name] = f"There is no scope '{did.scope}' in Rucio."
        return did if did.scope in scopes else None

    def _all(self, names: Iterable[Name]) -> dict[Name, Record]:
        waiting = [self.records.get(name) for name in names]
        every = {item.name: item for item in self.records.all()} if any(item.members for item in waiting) else {}
        found: dict[Name, Record] = {}
        while waiting:
            record = waiting.pop()
            if record.name not in found:
                found[record.name] = record
                waiting += [every[member] for member in record.members if member in every]
        return dict(sorted(found.items()))

    def _files(self, batch: Sequence[Record]) -> None:
        wanted: dict[str, list[tuple[Record, dict[str, Any]]]] = {}
        present = self._present(batch)
        for record in batch:
            did = self._dids[record.name]
            reason = differs(record, self._known.get(did))
            seats, problems = self._seats(record, did)
            if reason == UNTOLD and seats and all(seat.present or (did, seat.rse) in present for seat in seats):
                reason = None  # the very replicas are known there
            if reason is None and not seats and did not in self._known:
                reason = "; ".join(problems) or "It has no replica on a storage that is an RSE there."
            if reason is not None:
                self.tally.refuse(record.name, reason)
                continue
            self.tally.known(record.name)
            for problem in problems:
                self.tally.note(f"A replica of '{record.name}' is not known in Rucio by that name: {problem}")
            for seat in seats:
                if not seat.present and (did, seat.rse) not in present:
                    wanted.setdefault(seat.rse, []).append((record, _entry(record, did, seat)))
        for rse, entries in wanted.items():
            self._add(rse, entries)

    def _present(self, batch: Sequence[Record]) -> set[tuple[Did, str]]:
        asked = [self._dids[record.name] for record in batch if self._dids[record.name] in self._known]
        rses = "|".join(sorted(set(self.places.rses.values())))
        if not asked or not rses:
            return set()
        found = self.server.replicas(asked, rses, every=True)
        return {(held.did, rse) for held in found for rse in held.places}

    def _seats(self, record: Record, did: Did) -> tuple[list[Seat], list[str]]:
        seats, problems = [], []
        for replica in record.replicas:
            try:
                seat = self.places.seat(replica, did) if replica.state == HERE else None
            except InvalidInput as error:
                problems.append(error.message)
                continue
            if seat is not None:
                seats.append(seat)
        return seats, problems

    def _add(self, rse: str, entries: Sequence[tuple[Record, dict[str, Any]]]) -> None:
        try:
            self.server.add_replicas(rse, [entry for _, entry in entries])
        except Unauthenticated:
            raise
        except _REFUSALS as error:
            if len(entries) == 1:
                self.tally.refuse(entries[0][0].name, error.message)
                return
            # One that cannot be taken spoils its batch: each half is tried by itself.
            middle = len(entries) // 2
            self._add(rse, entries[:middle])
            self._add(rse, entries[middle:])
            return
        for record, _ in entries:
            self.tally.new(record.name)
            if self._dids[record.name] not in self._known:
                self._tell(record)

    def _tell(self, record: Record) -> None:
        """Tell what Rucio may know beside size and digests: lifetime always, the rest where its server keeps such."""
        did = self._dids[record.name]
        if record.expires is not None and record.kind == "file":
            try:
                self.server.set_metadata(did, {"lifetime": max(int(record.expires - time.time()), 1)})
            except Unauthenticated:
                raise
            except _REFUSALS as error:
                self.tally.note(f"The lifetime of '{record.name}' is not known in Rucio: {error.message}")
        free = record.metadata.items()
        facts = {key: value for key, value in free if isinstance(value, (str, int, float)) and key not in COLUMNS}
        facts |= {"licence": record.licence} if record.licence else {}
        facts |= {"sha256": record.digests["sha256"].value} if "sha256" in record.digests else {}
        if self._plain or not facts:
            return
        try:
            self.server.set_metadata(did, facts)
        except Unauthenticated:
            raise
        except _REFUSALS as error:
            self._plain = True
            what = "licence, sha256 and metadata are known here alone"
            self.tally.note(f"This Rucio takes no free metadata, and {what}: {error.message}")

    def _group(self, record: Record) -> None:
        did = self._dids[record.name]
        known = self._known.get(did)
        reason = differs(record, known)
        if reason is not None:
            self.tally.refuse(record.name, reason)
            return
        members = [self._dids[item] for item in record.members if item in self._dids and not self.tally.refuses(item)]
        try:
            there = {item.did for item in self.server.members(did)} if known else set()
            if known is None:
                life = None if record.expires is None else max(record.expires - time.time(), 1)
                self.server.add_groups([(did, record.kind, life)])
            missing = [member for member in members if member not in there]
            if missing:
                self.server.attach(did, missing)
        except Unauthenticated:
            raise
        except _REFUSALS as error:
            self.tally.refuse(record.name, error.message)
            return
        (self.tally.known if known and not missing else self.tally.new)(record.name)
        if known is None:
            self._tell(record)

    def _rule(self, rule: Rule, did: Did, copies: int, expression: str) -> None:
        what = f"{rule.id}: {copies} on {expression}"
        more: dict[str, Any] = {"comment": f"gemel {rule.id}", "priority": importance(rule)}
        if rule.expires is not None:
            more["lifetime"] = max(int(rule.expires - time.time()), 1)
        try:
            self.server.add_rule(did, copies, expression, **more)
        except Conflict:
            self.tally.known(what)
        except Unauthenticated:
            raise
        except _REFUSALS as error:
            self.tally.refuse(what, error.message)
        else:
            self.tally.new(what)


def differs(record: Record, known: Known | None) -> str | None:
    """Return why a record here and what Rucio knows cannot be the same; None when they can."""
    if known is None:
        return None if record.kind != "file" or record.size is not None else "Its size is not known."
    if known.kind != record.kind:
        return f"It is a {record.kind} here and a {known.kind} in Rucio."
    if record.kind != "file":
        return None
    if known.size != record.size:
        return f"It has {record.size} bytes here and {known.size} in Rucio."
    both = record.digests.keys() & known.digests.keys()
    wrong = next((name for name in sorted(both) if record.digests[name].value != known.digests[name]), None)
    if wrong is not None:
        return f"Its {wrong} digest is {record.digests[wrong].value} here and {known.digests[wrong]} in Rucio."
    if not both and (record.digests or known.digests):
        return UNTOLD
    return None


def _entry(record: Record, did: Did, seat: Seat) -> dict[str, Any]:
    # Rucio takes neither null nor sha256 for a digest; a file without any is taken.
    told: dict[str, Any] = did.body | {"bytes": record.size}
    told |= {name: record.digests[name].value for name in _TAKEN if name in record.digests}
    return told | ({} if seat.place is None else {"pfn": seat.place})


def _inner_first(groups: Sequence[Record]) -> list[Record]:
    known = {record.name: record for record in groups}
    done: dict[Name, Record] = {}

    def visit(record: Record) -> None:
        if record.name not in done:
            for member in record.members:
                if member in known:
                    visit(known[member])
            done[record.name] = record

    for record in groups:
        visit(record)
    return list(done.values())
