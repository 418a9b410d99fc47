"""Geometry of the small figures that the server draws itself as SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gemel.ui._documents import Document


@dataclass(frozen=True)
class Slice:
    """One part of a stacked bar, in percent of its length."""

    origin: str
    share: float
    start: float
    width: float


@dataclass(frozen=True)
class Dot:
    """One bin of a reliability diagram, in percent of the figure."""

    x: float
    y: float
    radius: float


def slices(view: Document) -> tuple[Slice, ...]:
    """Return the parts of a doubt view side by side; shares are scaled to fill the bar."""
    items = view["items"]
    total = sum(item["share"] for item in items) or 1.0
    parts: list[Slice] = []
    start = 0.0
    for item in items:
        width = 100 * item["share"] / total
        parts.append(Slice(item["origin"], item["share"], round(start, 3), round(width, 3)))
        start += width
    return tuple(parts)


def dots(view: Document) -> tuple[Dot, ...]:
    """Return the bins of a reliability view; the area of a dot follows its count."""
    most = max(view["count"], default=0) or 1
    bins = zip(view["forecast"], view["observed"], view["count"], strict=True)
    return tuple(
        Dot(round(100 * f, 2), round(100 * (1 - o), 2), round(1 + 3 * math.sqrt(c / most), 2))
        for f, o, c in bins
        if o is not None and c
    )
