"""A plume as a still picture: what is seen before the scripts are there, or without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gemel.ui._documents import Document
from gemel.ui._format import instant
from gemel.ui._plume import middle

WIDTH, HEIGHT = 900, 360
_PAST_DAYS_PER_LEAD_DAY = 3


@dataclass(frozen=True)
class Picture:
    """Paths in a box of `WIDTH` by `HEIGHT`: filled bands widest first, lines, and the height of each threshold."""

    bands: tuple[str, ...]
    median: str
    observed: str
    now: float
    thresholds: tuple[tuple[float, str], ...]
    top: float


@dataclass(frozen=True)
class _Frame:
    start: float
    end: float
    top: float

    def x(self, time: str) -> float:
        return round(WIDTH * (_seconds(time) - self.start) / (self.end - self.start), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT * (1 - value / self.top), 1)

    def line(self, times: Sequence[str], values: Sequence[float | None]) -> str:
        """Return a path that is lifted wherever a value is missing."""
        path, pen = [], "M"
        for time, value in zip(times, values, strict=False):
            if value is None:
                pen = "M"
                continue
            if _seconds(time) >= self.start:
                path.append(f"{pen}{self.x(time)} {self.y(value)}")
                pen = "L"
        return "".join(path)


def _seconds(time: str) -> float:
    return instant(time).timestamp()


def _frame(view: Document) -> _Frame:
    issued = _seconds(view["issued"])
    times = view["quantiles"]["time"]
    end = max(_seconds(times[-1]) if times else issued, issued + 86400)
    start = issued - _PAST_DAYS_PER_LEAD_DAY * (end - issued)
    observed = zip(view["observed"]["time"], view["observed"]["values"], strict=False)
    seen = [value for time, value in observed if value is not None and _seconds(time) >= start]
    ahead = [value for row in view["quantiles"]["values"] for value in row if value is not None]
    highest = max([*seen, *ahead], default=0.0)
    near = [t["value"] for t in view["thresholds"] if highest < t["value"] <= 1.9 * highest]
    return _Frame(start, end, 1.1 * (min(near, default=highest) or 1.0))


def picture(view: Document) -> Picture:
    """Return the paths of a plume: three horizons of past, and the forecast with its intervals."""
    frame = _frame(view)
    quantiles = view["quantiles"]
    times, rows = quantiles["time"], quantiles["values"]
    bands = []
    for low in range(len(rows) // 2):
        upper = frame.line(times, rows[-1 - low])
        lower = frame.line(times[::-1], rows[low][::-1])
        bands.append(f"{upper}L{lower[1:]}Z" if upper and lower else "")
    drawn = tuple((frame.y(t["value"]), t["label"]) for t in view["thresholds"] if t["value"] <= frame.top)
    return Picture(
        bands=tuple(bands),
        median=frame.line(times, rows[middle(quantiles["levels"])]) if rows else "",
        observed=frame.line(view["observed"]["time"], view["observed"]["values"]),
        now=frame.x(view["issued"]),
        thresholds=drawn,
        top=frame.top,
    )
