"""Compiled loops over grouped values: sums, extremes, first and last ones, gaps filled by lines.

Values are three-dimensional (before, along, after) so that any axis of any cube is reduced without being moved; `codes`
tells the group of each position along, negative for none. NaN counts as missing, sums are kept in float64 whatever the
values are. The code stands in one file because numba's disk cache does not notice edits of a callee in another file.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, Any]

_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def count(values: Array, codes: Array, counts: Array) -> None:
    """Add to `counts` (before, groups, after) how many values of each group are there."""
    before, along, after = values.shape
    for i in range(before):
        for t in range(along):
            group = codes[t]
            if group >= 0:
                for j in range(after):
                    counts[i, group, j] += values[i, t, j] == values[i, t, j]


@_compiled
def add(values: Array, codes: Array, sums: Array) -> None:
    """Add to `sums` the values of each group; one NaN makes its sum NaN."""
    before, along, after = values.shape
    for i in range(before):
        for t in range(along):
            group = codes[t]
            if group >= 0:
                for j in range(after):
                    sums[i, group, j] += values[i, t, j]


@_compiled
def total(values: Array, codes: Array, sums: Array, counts: Array) -> None:
    """Add to `sums` and `counts` the values of each group and how many they are."""
    before, along, after = values.shape
    for i in range(before):
        for t in range(along):
            group = codes[t]
            if group >= 0:
                for j in range(after):
                    value = values[i, t, j]
                    there = value == value
                    sums[i, group, j] += value if there else 0
                    counts[i, group, j] += there


@_compiled
def squares(values: Array, codes: Array, centres: Array, sums: Array) -> None:
    """Add to `sums` the squared distances of the values of each group from the group's centre."""
    before, along, after = values.shape
    for i in range(before):
        for t in range(along):
            group = codes[t]
            if group >= 0:
                for j in range(after):
                    distance = values[i, t, j] - centres[i, group, j]
                    sums[i, group, j] += distance * distance if values[i, t, j] == values[i, t, j] else 0.0


@_compiled
def products(values: Array, codes: Array, results: Array, counts: Array) -> None:
    """Multiply `results` by the values of each group, and count them."""
    before, along, after = values.shape
    for i in range(before):
        for t in range(along):
            group = codes[t]
            if group >= 0:
                for j in range(after):
                    value = values[i, t, j]
                    there = value == value
                    results[i, group, j] *= value if there else 1
                    counts[i, group, j] += there


@_compiled
def extremes(values: Array, codes: Array, sign: int, results: Array, counts: Array) -> None:
    """Write to `results` the least (sign 1) or greatest (sign -1) value of each group, and count them."""
    before, along, after = values.shape
    for i in range(before):
        for t in range(along):
            group = codes[t]
            if group >= 0:
                for j in range(after):
                    value = values[i, t, j]
                    if value == value:
                        if counts[i, group, j] == 0 or sign * value < sign * results[i, group, j]:
                            results[i, group, j] = value
                        counts[i, group, j] += 1


@_compiled
def firsts(values: Array, codes: Array, step: int, skip: bool, results: Array, counts: Array) -> None:
    """Write to `results` the first (step 1) or last (step -1) value of each group, with `skip` the first one there."""
    before, along, after = values.shape
    for i in range(before):
        for k in range(along):
            t = k if step > 0 else along - 1 - k
            group = codes[t]
            if group >= 0:
                for j in range(after):
                    value = values[i, t, j]
                    if counts[i, group, j] == 0 and (value == value or not skip):
                        results[i, group, j] = value
                        counts[i, group, j] = 1


@_compiled
def subtract(values: Array, codes: Array, normals: Array, results: Array) -> None:
    """Write to `results` the values minus the normal of their group, or NaN where there is no group."""
    before, along, after = values.shape
    for i in range(before):
        for t in range(along):
            group = codes[t]
            for j in range(after):
                results[i, t, j] = values[i, t, j] - normals[i, group, j] if group >= 0 else np.nan


@_compiled
def fill(values: Array, places: Array) -> None:
    """Replace NaN between two numbers along the middle axis by the straight line between them, in place."""
    before, along, after = values.shape
    for i in range(before):
        for j in range(after):
            left = -1
            for t in range(along):
                if values[i, t, j] == values[i, t, j]:
                    if left >= 0 and t - left > 1:
                        low, high = values[i, left, j], values[i, t, j]
                        for gap in range(left + 1, t):
                            share = (places[gap] - places[left]) / (places[t] - places[left])
                            values[i, gap, j] = low * (1 - share) + high * share
                    left = t


@_compiled
def quantiles(values: Array, order: Array, bounds: Array, probabilities: Array, results: Array) -> None:
    """Write to `results` (cells, groups, probabilities) the quantiles of the values (cells, along) of each group.

    `order` holds the positions along, group after group; the group g lies from ``bounds[g]`` to ``bounds[g + 1]``.
    """
    buffer = np.empty(values.shape[1], dtype=values.dtype)
    for cell in range(values.shape[0]):
        for group in range(len(bounds) - 1):
            held = 0
            for place in range(bounds[group], bounds[group + 1]):
                value = values[cell, order[place]]
                if value == value:
                    buffer[held] = value
                    held += 1
            if held == 0:
                results[cell, group, :] = np.nan
                continue
            ordered = np.sort(buffer[:held])
            for number in range(len(probabilities)):
                position = probabilities[number] * (held - 1)
                low = int(position)
                share = position - low
                # Without a share of the upper one its infinity must not turn the result into NaN.
                if share == 0.0:
                    results[cell, group, number] = ordered[low]
                else:
                    results[cell, group, number] = ordered[low] * (1 - share) + ordered[low + 1] * share
