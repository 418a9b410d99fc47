"""Logic: three-valued, as null stands for unknown (openEO process specification, group `logic`).

Booleans of cells are booleans where none can be missing, else 1, 0 and NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gemel.core.cubes import Along, CellByCell, Groups, arrays_of, is_cells
from gemel.core.processes._nodata import elements, knows_all, present, three_valued, truth
from gemel.core.processes._standard import standard


@standard(id="and", on="cells")
def and_(x: bool | None, y: bool | None) -> bool | None:
    """Whether both are true; null when that cannot be known.

    Args:
        x: The first boolean.
        y: The second boolean.
    """
    if is_cells(x) or is_cells(y):
        (one, unknown), (other, unsure) = truth(x), truth(y)
        false = (~_array(one) & ~_array(unknown)) | (~_array(other) & ~_array(unsure))
        return three_valued(_array(one) & _array(other), (_array(unknown) | _array(unsure)) & ~false, knows_all(x, y))
    if x is False or y is False:
        return False
    return None if x is None or y is None else bool(x) and bool(y)


@standard(id="or", on="cells")
def or_(x: bool | None, y: bool | None) -> bool | None:
    """Whether at least one is true; null when that cannot be known.

    Args:
        x: The first boolean.
        y: The second boolean.
    """
    if is_cells(x) or is_cells(y):
        (one, unknown), (other, unsure) = truth(x), truth(y)
        true = _array(one) | _array(other)
        return three_valued(true, (_array(unknown) | _array(unsure)) & ~true, knows_all(x, y))
    if x is True or y is True:
        return True
    return None if x is None or y is None else bool(x) or bool(y)


@standard(on="cells")
def xor(x: bool | None, y: bool | None) -> bool | None:
    """Whether exactly one is true; null when one of them is null.

    Args:
        x: The first boolean.
        y: The second boolean.
    """
    if is_cells(x) or is_cells(y):
        (one, unknown), (other, unsure) = truth(x), truth(y)
        return three_valued(_array(one) ^ _array(other), _array(unknown) | _array(unsure), knows_all(x, y))
    return None if x is None or y is None else bool(x) != bool(y)


@standard(id="not", on="cells")
def not_(x: bool | None) -> bool | None:
    """The opposite of a boolean; null of null.

    Args:
        x: The boolean.
    """
    if is_cells(x):
        true, null = truth(x)
        return three_valued(~true, null, knows_all(x))
    return None if x is None else not x


@standard(id="if", on="cells")
def if_(value: bool | None, accept: Any, reject: Any = None) -> Any:
    """One of two values, chosen by a boolean; null counts as false.

    Args:
        value: Decides.
        accept: Returned when true.
        reject: Returned when false or null.
    """
    if is_cells(value):
        return _chosen(truth(value)[0], accept, reject)
    return accept if value is True else reject


@standard(id="any", on="groups")
def any_(data: list[Any], ignore_nodata: bool = True) -> bool | None:
    """Whether at least one element is true; false for an empty array.

    Args:
        data: Booleans.
        ignore_nodata: Leave nulls out; otherwise they make the answer unknown unless another element decides it.
    """
    whole = _whole(data)
    if whole is not None:
        true, known, missing = _tally(whole)
        return three_valued(true > 0, (true == 0) & (known > 0) & (missing > 0), ignore_nodata)
    values = elements(data)
    there = present(values, True) or []
    if True in there:
        return True
    return None if there and not ignore_nodata and len(there) < len(values) else False


@standard(id="all", on="groups")
def all_(data: list[Any], ignore_nodata: bool = True) -> bool | None:
    """Whether every element is true; true for an empty array.

    Args:
        data: Booleans.
        ignore_nodata: Leave nulls out; otherwise they make the answer unknown unless another element decides it.
    """
    whole = _whole(data)
    if whole is not None:
        true, known, missing = _tally(whole)
        return three_valued(true == known, (true == known) & (known > 0) & (missing > 0), ignore_nodata)
    values = elements(data)
    there = present(values, True) or []
    if False in there:
        return False
    return None if there and not ignore_nodata and len(there) < len(values) else True


def _whole(data: Any) -> Along | Groups | None:
    return data if isinstance(data, Groups) else arrays_of(data)


def _tally(whole: Along | Groups) -> tuple[Any, Any, Any]:
    """Return for each cell (and group) how many elements are true, how many are known, and how many are missing."""
    along = whole.along if isinstance(whole, Groups) else whole
    true, null = truth(along.data)

    def counted(values: Any) -> Any:
        # Counting what is there: ones stay, zeros become NaN.
        part = along.same(np.where(np.asarray(values), 1.0, np.nan))
        return (Groups(part, whole.codes, whole.count) if isinstance(whole, Groups) else part).reduced("count")

    return counted(true), counted(~null), counted(null)


def _chosen(condition: Any, accept: Any, reject: Any) -> Any:
    options = [np.nan if option is None else option for option in (accept, reject)]
    if any(isinstance(option, (str, list, tuple, dict, Along)) for option in options):
        raise CellByCell
    # A plain number takes the type of the cells beside it.
    kind = np.result_type(*(option.dtype if is_cells(option) else option for option in options))
    one, two = (xr.DataArray(option).astype(kind).broadcast_like(condition) for option in options)
    return one.where(condition, two)


def _array(value: Any) -> Any:
    return value if is_cells(value) else xr.DataArray(bool(value))
