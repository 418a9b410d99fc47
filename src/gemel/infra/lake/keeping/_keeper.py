"""One round of keeping the lake: lifetimes, rules, lost copies, quotas, presence, bit flips; and a thread that goes it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sql

from gemel.base.errors import GemelError, NotFound
from gemel.infra.lake.datasets import Datasets, Finding
from gemel.infra.lake.keeping._care import Care
from gemel.infra.lake.keeping._placement import placement
from gemel.infra.lake.keeping._reclaiming import HIGH, LOW, Reclaimed, reclaimed
from gemel.infra.lake.keeping._rules import COPYING, OK, STUCK, Rule, Rules
from gemel.infra.lake.keeping._survey import Survey, good, survey
from gemel.infra.lake.mover import Mover
from gemel.infra.lake.storages import Journal, Standing, Standings, Storages

_LOG = logging.getLogger("gemel.lake")
_AGAIN_SECONDS = 600.0  # a failed transfer of a rule is asked for again after so long
_RULES_SECONDS = 300.0  # rules are looked at so often even when nothing is known to have changed


@dataclass(frozen=True)
class Pace:
    """How often what is done; seconds, and bytes a second.

    Attributes:
        round: Between two rounds.
        patrol: Each copy's presence is looked at once in so long.
        scrub: Each copy is read whole once in so long.
        scrub_rate: Bytes that the scrubber reads in a second, on average.
    """

    round: float = 10.0
    patrol: float = 3600.0
    scrub: float = 30 * 86400.0
    scrub_rate: float = 50e6


@dataclass
class Round:
    """What one round did."""

    expired: list[str] = field(default_factory=list)
    requested: int = 0
    rules: dict[str, str] = field(default_factory=dict)
    reclaimed: list[Reclaimed] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "expired": self.expired,
            "requested": self.requested,
            "rules": self.rules,
            "reclaimed": [item.document() for item in self.reclaimed],
            "findings": [item.document() for item in self.findings if item.outcome != "good"],
        }


class Keeper:
    """Keeps what rules, lifetimes and quotas say, and copies as they should be.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
        datasets: What is kept.
        storages: Where it lies.
        mover: What brings copies.
        pace: How often what is done.

    Attributes:
        rules: How many copies there are to be.
        standings: Where storages stand and how full they are.
    """

    def __init__(
        self,
        journal: Journal,
        tables: Mapping[str, sql.Table],
        datasets: Datasets,
        storages: Storages,
        mover: Mover,
        pace: Pace | None = None,
    ) -> None:
        self.rules = Rules(journal, tables)
        self.standings = Standings(journal, tables, storages.list)
        self._datasets, self._storages, self._mover = datasets, storages, mover
        self._care = Care(journal, tables, datasets, storages)
        self._pace = pace or Pace()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked, self._event = 0.0, -1

    def round(self, *, all_rules: bool = True) -> Round:
        """Return what was done to keep the lake, now.

        Args:
            all_rules: Whether to look at every rule, also when nothing is known to have changed.
        """
        done = Round()
        self._datasets.sweep()
        self._expire(done)
        if all_rules or self._changed():
            found = survey(self._datasets.find(), self.rules.list())
            places = self.standings.all()
            for rule in self.rules.list():
                self._hold(rule, found, places, done)
            self._reclaim(found, places, done)
        done.findings += self._care.patrol(self._pace.patrol)
        budget = self._pace.scrub_rate * self._pace.round
        done.findings += self._care.scrub(self._pace.scrub, budget, self._stop.is_set)
        return done

    def reclaim(self, storage: str, wanted: float | None = None) -> list[Reclaimed]:
        """Return the copies dropped from a storage: until `wanted` bytes are free, default all that nobody needs.

        Raises:
            NotFound: There is no such storage.
        """
        self._storages.get(storage)
        found = survey(self._datasets.find(), self.rules.list())
        wish = float("inf") if wanted is None else wanted
        return reclaimed(self._datasets, self._storages, found, self.standings.all(), storage, wish)

    def start(self, beside: Callable[[], None] = lambda: None) -> None:
        """Begin to go round in the background; `beside` is called in each round, too."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._go_round, args=(beside,), name="gemel-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop going round."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)
            self._thread = None

    def _go_round(self, beside: Callable[[], None]) -> None:
        while not self._stop.wait(self._pace.round):
            try:
                beside()
                done = self.round(all_rules=False)
            except GemelError as error:
                # What cannot be reached now is looked at in the next round.
                _LOG.warning("keeping the lake: %s", error.message)
                continue
            for finding in done.findings:
                if finding.outcome != "good":
                    _LOG.warning("%s on %s: %s (%s)", finding.name, finding.storage, finding.outcome, finding.reason)

    def _changed(self) -> bool:
        news = self._datasets.changes.last()
        due = time.monotonic() - self._looked > _RULES_SECONDS
        waiting = any(rule.state != OK for rule in self.rules.list())
        if news == self._event and not due and not waiting:
            return False
        self._event, self._looked = news, time.monotonic()
        return True

    def _expire(self, done: Round) -> None:
        now = time.time()
        self.rules.expire(now)
        for name in self._datasets.expired(now):
            with contextlib.suppress(NotFound):
                self._datasets.remove(name)
                done.expired.append(name)

    def _hold(self, rule: Rule, found: Survey, places: Mapping[str, Standing], done: Round) -> None:
        files = found.below.get(rule.name, ())
        writable = {name for name in places if self._storages.get(name).writable}
        reasons, copying = [], 0
        for record in files:
            plan = placement(rule, record.size or 0, good(record), places, writable)
            if plan.reason:
                reasons.append(f"'{record.name}': {plan.reason}")
            for target in plan.targets:
                failure = self._failure(rule, str(record.name), target)
                if failure:
                    reasons.append(f"'{record.name}' to '{target}': {failure}")
                else:
                    copying += 1
                    done.requested += self._requested(rule, str(record.name), target)
        if not files and not any(item.name == rule.name for item in self._datasets.find([str(rule.name)])):
            reasons.append("there is no such dataset")
        state = STUCK if reasons else COPYING if copying else OK
        self.rules.note(rule, state, reasons[0] if reasons else None)
        done.rules[rule.id] = state

    def _requested(self, rule: Rule, name: str, target: str) -> int:
        self._mover.request([name], target, priority=rule.priority, cause=rule.id)
        return 1

    def _failure(self, rule: Rule, name: str, target: str) -> str | None:
        """Return why the last transfer of a rule failed, when that was not long ago."""
        found = self._mover.queue.last(name, target, rule.id)
        if found is None or found.state != "failed" or (found.ended or 0) < time.time() - _AGAIN_SECONDS:
            return None
        return found.message

    def _reclaim(self, found: Survey, places: Mapping[str, Standing], done: Round) -> None:
        coming = self._mover.queue.coming()
        for place in places.values():
            if place.quota is None:
                continue
            expected = place.used + coming.get(place.name, 0)
            if expected > HIGH * place.quota:
                wanted = expected - LOW * place.quota
                done.reclaimed += reclaimed(self._datasets, self._storages, found, places, place.name, wanted)
