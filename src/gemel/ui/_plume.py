"""A plume in words and in tables: what it says at its highest, and the numbers behind the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gemel.ui._documents import Document
from gemel.ui._format import instant, moment, number, percent, quantity


@dataclass(frozen=True)
class Peak:
    """Where the median stands highest: its time, and the widest interval at that time."""

    time: str
    median: float
    lower: float | None
    upper: float | None
    width: float


@dataclass(frozen=True)
class Rows:
    """A table of formatted cells; `head` holds (title, unit) pairs."""

    head: tuple[tuple[str, str], ...]
    body: tuple[tuple[str, ...], ...]


def middle(levels: Sequence[float]) -> int:
    """Return the place of the level nearest to the median."""
    return min(range(len(levels)), key=lambda i: abs(levels[i] - 0.5))


def peak(quantiles: Document | None) -> Peak | None:
    """Return the highest point of the median with its interval, or None when there is no value.

    The interval is that of the forecast at this time, not of the largest value over all times: quantiles alone do
    not determine the latter.
    """
    if not quantiles or not quantiles["levels"]:
        return None
    levels, values = quantiles["levels"], quantiles["values"]
    row = values[middle(levels)]
    known = [i for i, value in enumerate(row) if value is not None]
    if not known:
        return None
    at = max(known, key=lambda i: row[i])
    return Peak(quantiles["time"][at], row[at], values[0][at], values[-1][at], levels[-1] - levels[0])


def latest(view: Document) -> float | None:
    """Return the last value observed, or None when nothing was."""
    return next((value for value in reversed(view["observed"]["values"]) if value is not None), None)


def horizon_days(view: Document) -> int:
    """Return how many days the forecast reaches beyond its issue time."""
    times = view["quantiles"]["time"]
    if not times:
        return 0
    return max(1, round((instant(times[-1]) - instant(view["issued"])).total_seconds() / 86400))


def spoken(view: Document) -> str:
    """Return one sentence about the forecast, for people who hear the page."""
    top = peak(view["quantiles"])
    if top is None:
        return f"{view['title']}: no forecast yet."
    return (
        f"{moment(view['issued'])} UTC: highest median {quantity(top.median, view['unit'])} on {moment(top.time)}, "
        f"{percent(top.width)} interval {number(top.lower)} to {number(top.upper)}."
    )


def forecast_rows(view: Document) -> Rows:
    """Return the forecast as a table: one row per time, one column per quantile and driver."""
    quantiles, unit = view["quantiles"], view["unit"]
    drivers = view.get("drivers") or []
    head = [("valid, UTC", "")] + [(f"{percent(level)} quantile", unit) for level in quantiles["levels"]]
    head += [(driver["title"], driver["unit"]) for driver in drivers]
    known = [dict(zip(driver["time"], driver["values"], strict=False)) for driver in drivers]
    body = []
    for i, time in enumerate(quantiles["time"]):
        row = [number(values[i]) for values in quantiles["values"]]
        body.append((moment(time), *row, *(number(values.get(time)) for values in known)))
    return Rows(tuple(head), tuple(body))


def past_rows(view: Document) -> Rows:
    """Return the recent past as a table, newest first: observed, fitted, drivers."""
    unit = view["unit"]
    columns: list[tuple[str, str, Any]] = [("observed", unit, view["observed"])]
    if view.get("fitted"):
        columns.append(("model, one step ahead", unit, view["fitted"]))
    columns += [(driver["title"], driver["unit"], driver) for driver in view.get("drivers") or []]
    known = [dict(zip(series["time"], series["values"], strict=False)) for _, _, series in columns]
    times = reversed(view["observed"]["time"])
    body = tuple((moment(time), *(number(values.get(time)) for values in known)) for time in times)
    return Rows((("day, UTC", ""), *((title, unit) for title, unit, _ in columns)), body)
