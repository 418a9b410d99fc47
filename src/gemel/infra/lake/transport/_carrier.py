"""Choosing a way for a file, and another when that one turns out to be closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from gemel.base.errors import StoreUnavailable
from gemel.infra.lake.storages import Readable
from gemel.infra.lake.transport._agent import Agent
from gemel.infra.lake.transport._fts import Fts
from gemel.infra.lake.transport._hashing import Progress
from gemel.infra.lake.transport._leg import Arrived, Leg, Way, WayClosed
from gemel.infra.lake.transport._stream import Streaming, written
from gemel.infra.lake.transport._third_party import Pull, Push


class Carrier:
    """Carries files; remembers which ways are closed between which storages. Safe for threads.

    Args:
        ways: In order of preference; the last one must fit every leg.
    """

    def __init__(self, ways: Sequence[Way] | None = None) -> None:
        self._ways = tuple(ways or (Fts(), Pull(), Push(), Agent(), Streaming()))
        self._closed: dict[tuple[str, str, str], tuple[float, str]] = {}
        self._lock = threading.Lock()

    def carry(self, leg: Leg, progress: Progress | None = None) -> Arrived:
        """Return what arrived, by which way, and why that one.

        Raises:
            ResultCorrupt: Size or digest are not as expected; nothing is left.
            NotFound: The source has no such file.
            Denied: A token does not allow it.
            StoreFull: The target is full.
            StoreUnavailable: No way is open now.
        """
        passed: list[str] = []
        for way in self._ways:
            reason, closed = way.reason(leg), self._why_closed(leg, way)
            if reason is None:
                continue
            try:
                if closed is not None:
                    raise WayClosed(closed, 0)
                arrived = way.carry(leg, progress or (lambda _: None))
                return replace(arrived, way=way.name, reason="; ".join([*passed, reason]))
            except WayClosed as error:
                passed.append(str(error))
                self._close(leg, way, error)
        raise StoreUnavailable(f"{leg.what} could not be carried: {'; '.join(passed)}.", hint="Try again later.")

    @staticmethod
    def take_in(leg: Leg, source: Readable, progress: Progress | None = None) -> Arrived:
        """Return what a stream brought to a leg's target; its source is not looked at.

        Raises:
            ResultCorrupt: Something is not as expected; nothing is left.
        """
        return written(leg, source, progress or (lambda _: None), prove=False)

    def _why_closed(self, leg: Leg, way: Way) -> str | None:
        with self._lock:
            until, why = self._closed.get(_pair(leg, way), (0.0, ""))
        return why if until > time.monotonic() else None

    def _close(self, leg: Leg, way: Way, error: WayClosed) -> None:
        if error.seconds:
            with self._lock:
                self._closed[_pair(leg, way)] = (time.monotonic() + error.seconds, str(error))


def _pair(leg: Leg, way: Way) -> tuple[str, str, str]:
    return leg.source.name, leg.target.name, way.name
