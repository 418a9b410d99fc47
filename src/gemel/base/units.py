"""Units of measure in UDUNITS/CF spelling (``m3 s-1``), checked and converted with pint.

Kept apart from the rest of `gemel.base` because importing pint costs time that `gemel --help` must not pay.
"""

from __future__ import annotations

import functools
import re
import threading
from typing import Any

import pint

from gemel.base.errors import InvalidInput, UnitMismatch

# UDUNITS writes exponents without a sign ("m3 s-1"); pint wants "m**3 s**-1".
_EXPONENT = re.compile(r"(?<=[A-Za-z])(-?\d+)(?![A-Za-z0-9.])")
_NUMBER_AND_UNIT = re.compile(r"\s*([+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?\d+)?)\s*(.*?)\s*$")


# pint's registry fills its caches without a lock, and steps convert units in parallel.
_lock = threading.RLock()


@functools.cache
def _registry() -> Any:
    registry: Any = pint.UnitRegistry(
        autoconvert_offset_to_baseunit=True,
        preprocessors=[lambda text: _EXPONENT.sub(r"**\1", text).replace("%", " percent ")],
    )
    registry.define("degrees_north = degree = degree_north = degree_N = degrees_N")
    registry.define("degrees_east = degree = degree_east = degree_E = degrees_E")
    return registry


@functools.lru_cache(maxsize=1024)
def _unit(unit: str) -> Any:
    try:
        with _lock:
            return _registry().Unit(unit if unit.strip() else "1")
    except Exception as error:  # pint raises several unrelated classes for a bad spelling
        raise InvalidInput(f"'{unit}' is not a unit.", hint="Use UDUNITS spelling, like 'm3 s-1' or 'degC'.") from error


def check_unit(unit: str) -> str:
    """Return `unit` unchanged when it can be read.

    Raises:
        InvalidInput: The spelling is unknown.
    """
    _unit(unit)
    return unit


@functools.lru_cache(maxsize=4096)
def convertible(source: str, target: str) -> bool:
    """Return whether values in `source` can be expressed in `target`.

    >>> convertible("mm d-1", "m s-1"), convertible("mm", "degC")
    (True, False)
    """
    if source == target:
        return True
    with _lock:
        return bool(_unit(source).is_compatible_with(_unit(target)))


@functools.lru_cache(maxsize=4096)
def equivalent(source: str, target: str) -> bool:
    """Return whether the two spellings mean the same unit, so that numbers need no change.

    >>> equivalent("m3 s-1", "m^3/s"), equivalent("mm", "m")
    (True, False)
    """
    if source == target:
        return True
    with _lock:
        return convertible(source, target) and bool(_unit(source) == _unit(target))


def convert(value: Any, source: str, target: str) -> Any:
    """Return `value` (number or array, in `source`) expressed in `target`.

    Raises:
        UnitMismatch: The two units measure different things.

    >>> round(convert(1.0, "mm d-1", "m s-1") * 86400, 9)
    0.001
    """
    if equivalent(source, target):
        return value
    if not convertible(source, target):
        raise UnitMismatch(f"'{source}' cannot be converted to '{target}'.", source=source, target=target)
    with _lock:
        return _registry().Quantity(value, _unit(source)).to(_unit(target)).magnitude


def convert_difference(value: Any, source: str, target: str) -> Any:
    """Return a difference (a change, not a level; number or array) of `value` in `source`, expressed in `target`.

    One kelvin more is one degree Celsius more, whatever the zero of the scale.

    >>> convert_difference(2.0, "degC", "K")
    2.0
    """
    return convert(value, source, target) - convert(0.0, source, target)


def parse_quantity(text: str, unit: str) -> float:
    """Return the number written in `text`, expressed in `unit`; a bare number is already in `unit`.

    Raises:
        InvalidInput: There is no number in `text`, or its unit is unknown.
        UnitMismatch: The unit written cannot be converted to `unit`.

    >>> parse_quantity("130 %", "1"), parse_quantity("1.3", "1")
    (1.3, 1.3)
    """
    number, written = split_quantity(text)
    return number if not written else float(convert(number, written, unit))


def split_quantity(text: str) -> tuple[float, str]:
    """Return the number and the unit written in `text`; the unit is empty for a bare number.

    Raises:
        InvalidInput: There is no number in `text`.

    >>> split_quantity("1.5 K"), split_quantity("-2")
    ((1.5, 'K'), (-2.0, ''))
    """
    match = _NUMBER_AND_UNIT.match(text)
    if match is None:
        raise InvalidInput(f"'{text}' is not a number.", hint="Give a number, or a number with its unit.")
    return float(match.group(1)), match.group(2)
