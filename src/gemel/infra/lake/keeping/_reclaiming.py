"""Room on storages whose quota is reached: copies go that no rule needs, those first that were not used for long."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gemel.base.errors import GemelError
from gemel.infra.lake.datasets import Datasets, Record, Replica
from gemel.infra.lake.keeping._placement import placement
from gemel.infra.lake.keeping._rules import Rule
from gemel.infra.lake.keeping._survey import HERE, Survey, good
from gemel.infra.lake.storages import Standing, Storages

#: Reclaiming begins above the first share of a quota, and ends below the second.
HIGH, LOW = 0.9, 0.8


@dataclass(frozen=True)
class Reclaimed:
    """A copy that was dropped to make room: of which file, on which storage, how many bytes."""

    name: str
    storage: str
    size: int

    def document(self) -> dict[str, Any]:
        """Return it as JSON; the size in bytes."""
        return {"name": self.name, "storage": self.storage, "size": self.size}


def reclaimed(
    datasets: Datasets, storages: Storages, found: Survey, places: Mapping[str, Standing], storage: str, wanted: float
) -> list[Reclaimed]:
    """Return the copies dropped from a storage until `wanted` bytes are free, or nothing more can go.

    A copy goes only when every rule of its file holds without it, and another one was looked at just now and is there.
    """
    done: list[Reclaimed] = []
    for record, replica in _candidates(found, storage):
        if sum(item.size for item in done) >= wanted:
            break
        remaining = good(record) - {storage}
        rules = found.rules.get(record.name, ())
        if not _needless(rules, record, remaining, places) or not _there(storages, record, storage):
            continue
        if datasets.drop(record.name, replica):
            done.append(Reclaimed(str(record.name), storage, record.size or 0))
    return done


def _candidates(found: Survey, storage: str) -> Iterator[tuple[Record, Replica]]:
    """Yield copies that gemel itself brought to a storage, the longest unused first."""
    pairs = [
        (record, replica)
        for record in found.files.values()
        for replica in record.replicas
        if replica.storage == storage and replica.state == HERE and len(record.replicas) > 1 and replica.own
    ]
    yield from sorted(pairs, key=lambda pair: (pair[1].used or 0.0, -(pair[0].size or 0), pair[0].name))


def _needless(
    rules: tuple[Rule, ...], record: Record, remaining: Collection[str], places: Mapping[str, Standing]
) -> bool:
    if not remaining:
        return False
    return all(placement(rule, record.size or 0, remaining, places, ()).holds for rule in rules)


def _there(storages: Storages, record: Record, storage: str) -> bool:
    for replica in record.replicas:
        if replica.storage != storage and replica.state == HERE:
            with contextlib.suppress(GemelError):
                if storages.get(replica.storage).size(replica.path) == record.size:
                    return True
    return False
