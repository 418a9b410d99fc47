"""Where copies are to go so that a rule holds: a plain function of what is where."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from gemel.infra.lake.keeping._rules import Rule
from gemel.infra.lake.storages import Standing


@dataclass(frozen=True)
class Placement:
    """What is missing until a rule holds for one file.

    Attributes:
        targets: Storages that are to get a copy.
        reason: Why it cannot hold, where no storage is left; else None.
    """

    targets: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def holds(self) -> bool:
        """Return whether nothing is missing."""
        return not self.targets and self.reason is None


def placement(
    rule: Rule, size: int, present: Collection[str], places: Mapping[str, Standing], writable: Collection[str]
) -> Placement:
    """Return what is missing until a rule holds for a file.

    Near copies are placed first, then the others: at sites that hold none yet before those that do, and there where
    most is left of the quota.

    Args:
        rule: The rule.
        size: Of the file in bytes.
        present: Storages that hold a good copy.
        places: Where storages stand.
        writable: Storages that a copy can be brought to.

    >>> places = {"a": Standing("a", "s3", "here"), "b": Standing("b", "s3", "there")}
    >>> from gemel.infra.lake.keeping._rules import Where
    >>> from gemel.infra.lake.datasets import Name
    >>> rule = Rule("rule-1", Name("x", "y"), 2, Where(near=("there",)))
    >>> placement(rule, 1, {"a"}, places, {"a", "b"}).targets
    ('b',)
    """
    allowed = [item for item in places.values() if _allowed(rule, item)]
    held = [item for item in allowed if item.name in present]
    free = [item for item in allowed if item.name not in present and item.name in writable and item.room >= size]
    targets: list[Standing] = []
    for site in dict.fromkeys(rule.where.near):
        if not any(item.site == site for item in (*held, *targets)):
            best = _best(rule, [item for item in free if item.site == site], (*held, *targets))
            if best is None:
                return Placement(tuple(item.name for item in targets), f"no storage near '{site}' can take a copy")
            targets.append(best)
    while _counted(rule, (*held, *targets)) < rule.copies:
        best = _best(rule, free, (*held, *targets))
        if best is None:
            there = _counted(rule, (*held, *targets))
            return Placement(
                tuple(item.name for item in targets), f"only {there} of {rule.copies} copies have a place to be"
            )
        targets.append(best)
    return Placement(tuple(item.name for item in targets))


def _allowed(rule: Rule, item: Standing) -> bool:
    where = rule.where
    return set(where.tags) <= set(item.tags) and (not where.storages or item.name in where.storages)


def _counted(rule: Rule, copies: Iterable[Standing]) -> int:
    """Return how many copies count: with `apart`, those of one site once."""
    found = list(copies)
    return len({item.site or f"storage {item.name}" for item in found}) if rule.where.apart else len(found)


def _best(rule: Rule, free: Iterable[Standing], taken: Collection[Standing]) -> Standing | None:
    names, sites = {item.name for item in taken}, [item.site for item in taken if item.site]
    left = [item for item in free if item.name not in names]
    if rule.where.apart:
        left = [item for item in left if item.site is None or item.site not in sites]
    return min(left, key=lambda item: (sites.count(item.site or ""), -item.room, item.name), default=None)
