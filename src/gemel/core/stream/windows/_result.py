"""A window that is complete: its values, what they were made of, and the event that tells of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from gemel.base.clock import iso
from gemel.core.stream.events import Event

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class WindowResult:
    """The values of all streams in [begin, end).

    Attributes:
        name: Name of the window.
        begin: Its first instant.
        end: The instant at which it is over.
        times: For each stream the instants of its values, datetime64[ns] in UTC, shape (n,); on a grid the same for
            all.
        data: For each ``stream.field`` its values, float64, NaN where there is none, shape (n,).
        counts: For each stream how many samples lie in the window.
        gaps: For each ``stream.field`` how many instants of the grid lie in a gap; without a grid, how many gaps
            there are between the stream's samples in the window.
        positions: For each stream that has samples in it the lowest and the highest log position of their events.
        aligned: Whether the values stand on a grid.
        told: Whether the event holds the values.
    """

    name: str
    begin: datetime
    end: datetime
    times: Mapping[str, Array]
    data: Mapping[str, Array]
    counts: Mapping[str, int]
    gaps: Mapping[str, int]
    positions: Mapping[str, tuple[int, int]]
    aligned: bool = False
    told: bool = True

    def event(self, uri: str) -> Event:
        """Return the event that tells of the window, of the type ``gemel.window`` and the time of its end.

        Its id follows from the window's begin: the same window told twice is a duplicate. Values are lists, null for
        NaN; "offsets" are seconds since the begin, a list for the whole grid or one for each stream.

        Args:
            uri: Who tells it, as a URI reference.
        """
        data: dict[str, Any] = {
            "begin": iso(self.begin),
            "end": iso(self.end),
            "counts": dict(self.counts),
            "gaps": dict(self.gaps),
            "positions": {stream: list(ends) for stream, ends in self.positions.items()},
        }
        if self.told:
            offsets = {stream: self._offsets(times) for stream, times in self.times.items()}
            data["offsets"] = next(iter(offsets.values())) if self.aligned else offsets
            data["data"] = {name: plain(values) for name, values in self.data.items()}
        return Event(f"{self.name}@{iso(self.begin)}", "gemel.window", uri, self.end, data)

    def _offsets(self, times: Array) -> list[float]:
        begin = np.datetime64(self.begin.replace(tzinfo=None), "ns")
        return list(((times - begin).astype(np.int64) / 1e9).tolist())


def plain(values: Array) -> list[float | None]:
    """Return values as JSON has them, null for NaN."""
    if np.isfinite(values).all():
        return list(values.tolist())
    return [value if math.isfinite(value) else None for value in values.tolist()]
