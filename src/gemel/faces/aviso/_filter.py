"""Which notifications a watch or replay is about: values, or constraints with one operator each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gemel.base.errors import InvalidInput
from gemel.faces.aviso._asked import scalar

Matches = Callable[[str], bool]
_NUMERIC: Mapping[str, Callable[[float, float], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}
_MOST = 1000  # values in one list


class Filter:
    """What must hold for identifiers: each field that is named is there, and matches.

    >>> chosen = Filter({"place": "Mill", "step": {"lte": 24}})
    >>> chosen.matches({"place": "Mill", "step": "6"}), chosen.matches({"place": "Mill"})
    (True, False)
    """

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self._wanted = {name: _matcher(name, value) for name, value in wanted.items() if value != "*"}

    def matches(self, identifier: Mapping[str, str]) -> bool:
        """Return whether an identifier is one of those that are asked for."""
        return all(name in identifier and fits(identifier[name]) for name, fits in self._wanted.items())


def _matcher(name: str, value: Any) -> Matches:
    if not isinstance(value, Mapping):
        wanted = scalar(name, value)
        return lambda given: given == wanted
    if len(value) != 1:
        raise InvalidInput(f"Field '{name}' must have exactly one operator in its constraint object.")
    ((operator, operand),) = value.items()
    if operator in ("eq", "in"):
        texts = {scalar(name, item) for item in (_list(name, operand) if operator == "in" else [operand])}
        return lambda given: given in texts
    if operator == "between":
        bounds = [_finite(name, item) for item in _list(name, operand)]
        if len(bounds) != 2:
            raise InvalidInput(f"Field '{name}': between takes two numbers, [least, most].")
        return lambda given: _holds(given, lambda number: bounds[0] <= number <= bounds[1])
    if operator in _NUMERIC:
        compare, bound = _NUMERIC[operator], _finite(name, operand)
        return lambda given: _holds(given, lambda number: compare(number, bound))
    message = f"Field '{name}' has an unknown operator '{str(operator)[:40]}'."
    raise InvalidInput(message, hint="eq, in, gt, gte, lt, lte and between are known.")


def _holds(given: str, test: Callable[[float], bool]) -> bool:
    try:
        return test(float(given))
    except ValueError:
        return False


def _list(name: str, value: Any) -> Sequence[Any]:
    if not isinstance(value, list) or not 0 < len(value) <= _MOST:
        raise InvalidInput(f"Field '{name}' must name 1 to {_MOST} values in a list.")
    return value


def _finite(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InvalidInput(f"Field '{name}' must be compared with a number.")
    try:
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"Field '{name}' must be compared with a number.") from error
    if not math.isfinite(number):
        raise InvalidInput(f"Field '{name}' must be compared with a finite number.")
    return number
