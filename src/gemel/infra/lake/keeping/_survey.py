"""What is where, read at once: files, the groups above them, the rules that hold for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gemel.infra.lake.datasets import Name, Record
from gemel.infra.lake.keeping._rules import Rule

HERE = "here"


@dataclass(frozen=True)
class Survey:
    """Files and the rules that hold for each.

    Attributes:
        files: By name.
        rules: Of each file: its own and those of the groups above it.
        below: Files of each name that a rule is for.
    """

    files: Mapping[Name, Record]
    rules: Mapping[Name, tuple[Rule, ...]]
    below: Mapping[Name, tuple[Record, ...]]


def survey(records: Iterable[Record], rules: Iterable[Rule]) -> Survey:
    """Return which rules hold for which files."""
    known = {record.name: record for record in records}
    holding: dict[Name, list[Rule]] = defaultdict(list)
    below: dict[Name, tuple[Record, ...]] = {}
    for rule in rules:
        if rule.name not in below:
            below[rule.name] = tuple(_files(known, rule.name))
        for record in below[rule.name]:
            holding[record.name].append(rule)
    files = {name: record for name, record in known.items() if record.kind == "file"}
    return Survey(files, {name: tuple(found) for name, found in holding.items()}, below)


def good(record: Record) -> set[str]:
    """Return the storages that hold a good copy of a file."""
    return {replica.storage for replica in record.replicas if replica.state == HERE}


def _files(known: Mapping[Name, Record], name: Name) -> list[Record]:
    found: dict[Name, Record] = {}
    waiting, seen = [name], set()
    while waiting:
        called = waiting.pop()
        record = known.get(called)
        if record is None or called in seen:
            continue
        seen.add(called)
        waiting.extend(record.members)
        if record.kind == "file":
            found[called] = record
    return [found[called] for called in sorted(found)]
