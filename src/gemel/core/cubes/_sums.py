"""Sums and counts of groups along an axis: what means of any coarser grouping follow from."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from gemel.core.cubes import _kernels

Array = np.ndarray[Any, Any]


@numba.njit(cache=True, nogil=True)
def _add(values: Array, codes: Array, sums: Array) -> None:
    before, along, after = values.shape
    for i in range(before):
        for t in range(along):
            group = codes[t]
            if group >= 0:
                for j in range(after):
                    sums[i, group, j] += values[i, t, j]


def sums_of_groups(values: Array, axis: int, codes: Array, groups: int) -> tuple[Array, Array]:
    """Return the sums (float64) and the numbers of values that are no NaN, with the groups where `axis` was.

    Args:
        values: An array of numbers.
        axis: The axis that is grouped.
        codes: Group of each position along it, negative for none.
        groups: How many groups there are.
    """
    shape = values.shape
    block = values.reshape(int(np.prod(shape[:axis], dtype=int)), shape[axis], -1)
    codes = np.ascontiguousarray(codes, dtype=np.int64)
    sums = np.zeros((block.shape[0], groups, block.shape[2]))
    _add(block, codes, sums)
    if np.isnan(sums).any():
        # Only where something is missing is it worth looking at each value for that.
        sums[...] = 0
        counts = np.zeros(sums.shape, dtype=np.int64)
        _kernels.total(block, codes, sums, counts)
    else:
        numbers = np.bincount(codes[codes >= 0], minlength=groups)
        counts = np.broadcast_to(numbers[None, :, None], sums.shape)
    wanted = (*shape[:axis], groups, *shape[axis + 1 :])
    return sums.reshape(wanted), counts.reshape(wanted)
