"""Reductions of N-d arrays along one axis, as a whole or in groups, with the null rules of openEO."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gemel.base.errors import InvalidInput
from gemel.core.cubes import _kernels

Array = np.ndarray[Any, Any]
Reduction = Callable[[Array, Array, int, bool], Array]


def reduce_groups(name: str, values: Array, axis: int, codes: Array, groups: int, ignore_nodata: bool = True) -> Array:
    """Return `values` reduced along `axis` to one value per group; NaN where the rules of openEO say null.

    Args:
        name: `sum`, `product`, `mean`, `median`, `min`, `max`, `variance`, `sd`, `count`, `first` or `last`.
        values: Numbers or booleans; NaN is no data.
        axis: The axis that is reduced.
        codes: Group of each position along the axis, from 0 to `groups` - 1; negative for none.
        groups: How many groups there are; the result has as many places along the axis.
        ignore_nodata: Leave NaN out; otherwise one NaN makes its group NaN.
    """
    if values.dtype.kind not in "biuf":
        raise InvalidInput(f"'{name}' takes numbers, and the cube holds {values.dtype}.")
    block = _three(_held(values, name), axis)
    found = _REDUCTIONS[name](block, np.ascontiguousarray(codes, dtype=np.int64), groups, ignore_nodata)
    if not ignore_nodata and name not in ("count", "first", "last") and found.dtype.kind == "f":
        there = _counts(block, codes, groups)
        found[there < np.bincount(codes[codes >= 0], minlength=groups)[None, :, None]] = np.nan
    return found.reshape((*values.shape[:axis], groups, *values.shape[axis + 1 :]))


def quantiles_along(values: Array, axis: int, probabilities: list[float], ignore_nodata: bool = True) -> Array:
    """Return quantiles along `axis` (Hyndman & Fan 1996, type 7), which they take the place of; NaN for no data."""
    floats = values if values.dtype.kind == "f" else values.astype(np.float64)
    codes = np.zeros(values.shape[axis], dtype=np.int64)
    found = _quantiles(_three(floats, axis), codes, 1, probabilities)[:, 0]
    shape = (*values.shape[:axis], len(probabilities), *values.shape[axis + 1 :])
    result = found.astype(floats.dtype, copy=False).reshape(shape)
    if not ignore_nodata:
        result = np.where(np.isnan(floats).any(axis=axis, keepdims=True), np.nan, result).astype(floats.dtype)
    return result


def fill_along(values: Array, axis: int, places: Array) -> Array:
    """Return `values` with NaN between two numbers along `axis` filled linearly over `places`."""
    filled = values.astype(values.dtype if values.dtype.kind == "f" else np.float64)
    block = np.ascontiguousarray(_three(filled, axis))
    _kernels.fill(block, np.asarray(places, dtype=np.float64))
    return block.reshape(values.shape)


def subtract_groups(values: Array, axis: int, codes: Array, normals: Array) -> Array:
    """Return `values` minus the value of their group in `normals` (groups along `axis`); NaN where the code is negative."""
    kind = np.result_type(values.dtype, normals.dtype)
    result = np.empty(values.shape, dtype=kind if kind.kind == "f" else np.float64)
    block = _three(result, axis)
    _kernels.subtract(_three(values, axis), np.ascontiguousarray(codes, dtype=np.int64), _three(normals, axis), block)
    return result


def _three(values: Array, axis: int) -> Array:
    shape = values.shape
    before, after = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    return np.ascontiguousarray(values).reshape(before, shape[axis], after)


def _held(values: Array, name: str) -> Array:
    if values.dtype.kind in "b":
        return values.astype(np.int64)
    if values.dtype == np.float16:
        return values.astype(np.float32)
    # Sums and products of small integers would run over; sums in the kernels are kept in 64 bits.
    return values.astype(np.int64) if values.dtype.kind == "u" and name == "product" else values


def _counts(block: Array, codes: Array, groups: int) -> Array:
    counts = np.zeros((block.shape[0], groups, block.shape[2]), dtype=np.int64)
    _kernels.count(block, np.ascontiguousarray(codes, dtype=np.int64), counts)
    return counts


def sums_of_groups(values: Array, axis: int, codes: Array, groups: int) -> tuple[Array, Array]:
    """Return the sums (float64, int64 of whole numbers) and how many values are no NaN, with the groups where `axis` was.

    Args:
        values: Numbers.
        axis: The axis that is grouped.
        codes: Group of each position along it, negative for none.
        groups: How many groups there are.
    """
    sums, counts = _sums(_three(values, axis), np.ascontiguousarray(codes, dtype=np.int64), groups)
    shape = (*values.shape[:axis], groups, *values.shape[axis + 1 :])
    return sums.reshape(shape), counts.reshape(shape)


def _sums(block: Array, codes: Array, groups: int) -> tuple[Array, Array]:
    shape = (block.shape[0], groups, block.shape[2])
    sums = np.zeros(shape, dtype=np.float64 if block.dtype.kind == "f" else np.int64)
    _kernels.add(block, codes, sums)
    if not np.isnan(sums).any():
        numbers = np.bincount(codes[codes >= 0], minlength=groups)
        return sums, np.broadcast_to(numbers[None, :, None], shape)
    # Only where something is missing is it worth looking at each value for that.
    sums[...] = 0
    counts = np.zeros(shape, dtype=np.int64)
    _kernels.total(block, codes, sums, counts)
    return sums, counts


def _sum(block: Array, codes: Array, groups: int, _ignore: bool) -> Array:
    return _finished(*_sums(block, codes, groups), block.dtype)


def _product(block: Array, codes: Array, groups: int, _ignore: bool) -> Array:
    shape = (block.shape[0], groups, block.shape[2])
    results = np.ones(shape, dtype=np.float64 if block.dtype.kind == "f" else np.int64)
    counts = np.zeros(shape, dtype=np.int64)
    _kernels.products(block, codes, results, counts)
    return _finished(results, counts, block.dtype)


def _mean(block: Array, codes: Array, groups: int, _ignore: bool) -> Array:
    return _means(block, codes, groups)[0].astype(_float(block.dtype), copy=False)


def _means(block: Array, codes: Array, groups: int) -> tuple[Array, Array]:
    sums, counts = _sums(block, codes, groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / counts, counts


def _variance(block: Array, codes: Array, groups: int, _ignore: bool) -> Array:
    return _variances(block, codes, groups).astype(_float(block.dtype), copy=False)


def _sd(block: Array, codes: Array, groups: int, _ignore: bool) -> Array:
    return np.sqrt(_variances(block, codes, groups)).astype(_float(block.dtype), copy=False)


def _variances(block: Array, codes: Array, groups: int) -> Array:
    # Two passes: the one-pass formula loses the digits that matter when values lie far from zero.
    means, counts = _means(block, codes, groups)
    sums = np.zeros(means.shape)
    _kernels.squares(block, codes, means, sums)
    return np.where(counts > 1, sums / np.maximum(counts - 1, 1), np.nan)


def _extreme(sign: int) -> Reduction:
    def reduce(block: Array, codes: Array, groups: int, _ignore: bool) -> Array:
        results = np.zeros((block.shape[0], groups, block.shape[2]), dtype=block.dtype)
        counts = np.zeros(results.shape, dtype=np.int64)
        _kernels.extremes(block, codes, sign, results, counts)
        return _finished(results, counts, block.dtype)

    return reduce


def _end(step: int) -> Reduction:
    def reduce(block: Array, codes: Array, groups: int, ignore_nodata: bool) -> Array:
        results = np.zeros((block.shape[0], groups, block.shape[2]), dtype=block.dtype)
        counts = np.zeros(results.shape, dtype=np.int64)
        _kernels.firsts(block, codes, step, ignore_nodata, results, counts)
        return _finished(results, counts, block.dtype)

    return reduce


def _median(block: Array, codes: Array, groups: int, _ignore: bool) -> Array:
    found = _quantiles(block, codes, groups, [0.5])[:, :, 0]
    return found.astype(_float(block.dtype), copy=False)


def _quantiles(block: Array, codes: Array, groups: int, probabilities: list[float]) -> Array:
    """Return the quantiles (before, groups, probabilities, after) of the values of each group."""
    before, along, after = block.shape
    cells = np.ascontiguousarray(np.moveaxis(block, 1, -1)).reshape(before * after, along)
    floats = cells if cells.dtype.kind == "f" else cells.astype(np.float64)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(groups + 1))
    found = np.empty((len(cells), groups, len(probabilities)))
    _kernels.quantiles(floats, order, bounds, np.asarray(probabilities, dtype=np.float64), found)
    return np.moveaxis(found.reshape(before, after, groups, len(probabilities)), 1, -1)


def _finished(results: Array, counts: Array, kind: np.dtype[Any]) -> Array:
    if kind.kind == "f":
        results = results.astype(kind, copy=False)
        results[counts == 0] = np.nan
        return results
    return np.where(counts == 0, np.nan, results) if (counts == 0).any() else results


def _float(kind: np.dtype[Any]) -> np.dtype[Any]:
    return kind if kind.kind == "f" else np.dtype(np.float64)


_REDUCTIONS: dict[str, Reduction] = {
    "sum": _sum,
    "product": _product,
    "mean": _mean,
    "variance": _variance,
    "sd": _sd,
    "min": _extreme(1),
    "max": _extreme(-1),
    "median": _median,
    "first": _end(1),
    "last": _end(-1),
    "count": lambda block, codes, groups, _ignore: _counts(block, codes, groups),
}
