"""Logic: three-valued, as null stands for unknown (openEO process specification, group `logic`)."""

from __future__ import annotations

from typing import Any

from gemel.core.graph import process
from gemel.core.processes._nodata import elements, present

_LOGIC = ("logic",)


@process(id="and", categories=_LOGIC)
def and_(x: bool | None, y: bool | None) -> bool | None:
    """Whether both are true; null when that cannot be known.

    Args:
        x: The first boolean.
        y: The second boolean.
    """
    if x is False or y is False:
        return False
    return None if x is None or y is None else bool(x) and bool(y)


@process(id="or", categories=_LOGIC)
def or_(x: bool | None, y: bool | None) -> bool | None:
    """Whether at least one is true; null when that cannot be known.

    Args:
        x: The first boolean.
        y: The second boolean.
    """
    if x is True or y is True:
        return True
    return None if x is None or y is None else bool(x) or bool(y)


@process(categories=_LOGIC)
def xor(x: bool | None, y: bool | None) -> bool | None:
    """Whether exactly one is true; null when one of them is null.

    Args:
        x: The first boolean.
        y: The second boolean.
    """
    return None if x is None or y is None else bool(x) != bool(y)


@process(id="not", categories=_LOGIC)
def not_(x: bool | None) -> bool | None:
    """The opposite of a boolean; null of null.

    Args:
        x: The boolean.
    """
    return None if x is None else not x


@process(id="if", categories=_LOGIC)
def if_(value: bool | None, accept: Any, reject: Any = None) -> Any:
    """One of two values, chosen by a boolean; null counts as false.

    Args:
        value: Decides.
        accept: Returned when true.
        reject: Returned when false or null.
    """
    return accept if value is True else reject


@process(id="any", categories=_LOGIC)
def any_(data: list[Any], ignore_nodata: bool = True) -> bool | None:
    """Whether at least one element is true; false for an empty array.

    Args:
        data: Booleans.
        ignore_nodata: Leave nulls out; otherwise they make the answer unknown unless another element decides it.
    """
    values = elements(data)
    known = present(values, True) or []
    if True in known:
        return True
    return None if known and not ignore_nodata and len(known) < len(values) else False


@process(id="all", categories=_LOGIC)
def all_(data: list[Any], ignore_nodata: bool = True) -> bool | None:
    """Whether every element is true; true for an empty array.

    Args:
        data: Booleans.
        ignore_nodata: Leave nulls out; otherwise they make the answer unknown unless another element decides it.
    """
    values = elements(data)
    known = present(values, True) or []
    if False in known:
        return False
    return None if known and not ignore_nodata and len(known) < len(values) else True
