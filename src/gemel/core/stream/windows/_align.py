"""Values of a stream on a grid that is not its own: between samples, in gaps, and where nothing is known."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]


def on_grid(
    samples: tuple[Array, Array], grid: Array, gap: Literal["null", "hold", "linear", "drop"], apart: int, bridge: int
) -> tuple[Array, Array]:
    """Return the values on the grid, NaN where there is none, and where the grid lies in a gap; both of its shape.

    An instant lies in a gap when the samples around it are further apart than `apart`, or one side has none; with
    "hold", when the sample before is further away than that.

    Args:
        samples: Times in nanoseconds (int64, ascending) and values (float64), both of shape (n,); NaN is no value.
        grid: Instants in nanoseconds, int64.
        gap: What stands in a gap, as in `WindowSpec.gap`.
        apart: How far apart neighbours may be without a gap between them, in nanoseconds.
        bridge: How far a value may reach across a gap, in nanoseconds.

    >>> times, values = np.array([0, 10, 40]), np.array([0.0, 1.0, 4.0])
    >>> on_grid((times, values), np.array([5, 20, 40, 50]), "null", 15, 15)[0].tolist()
    [0.5, nan, 4.0, nan]
    >>> on_grid((times, values), np.array([5, 20, 40, 50]), "linear", 15, 30)[0].tolist()
    [0.5, 2.0, 4.0, nan]
    """
    times, values = samples
    known = np.isfinite(values)
    if not known.all():
        times, values = times[known], values[known]
    if not len(times):
        return np.full(len(grid), np.nan), np.ones(len(grid), bool)
    first = int(np.searchsorted(times, grid[0]))
    if np.array_equal(times[first : first + len(grid)], grid):  # sampled on the grid itself, as fast streams are
        return values[first : first + len(grid)].copy(), np.zeros(len(grid), bool)
    left = np.searchsorted(times, grid, side="right") - 1
    since = np.where(left >= 0, grid - times[np.maximum(left, 0)], np.iinfo(np.int64).max)
    if gap == "hold":
        return np.where(since <= bridge, values[np.maximum(left, 0)], np.nan), since > apart
    right = np.where(since == 0, left, left + 1)
    inside = (left >= 0) & (right < len(times))
    between = times[np.minimum(right, len(times) - 1)] - times[np.maximum(left, 0)]
    reach = bridge if gap == "linear" else apart
    # Seen from the grid's first instant, nanoseconds are exact in float64 for a hundred days.
    line = np.interp((grid - grid[0]).astype(float), (times - grid[0]).astype(float), values)
    return np.where(inside & (between <= reach), line, np.nan), ~(inside & (between <= apart))
