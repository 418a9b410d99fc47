"""Mathematics on single numbers or whole arrays (openEO process specification, group `math`)."""

from __future__ import annotations

import decimal
import math
from typing import Any

import numpy as np

from gemel.base.errors import ProcessRefused
from gemel.core.graph import process
from gemel.core.processes._nodata import is_array, is_nan_number, numeric

_MATH = ("math",)
_TRIGONOMETRIC = ("math", "math > trigonometric")


@process(categories=_MATH, durable=False)
def absolute(x: float | None) -> float | None:
    """Absolute value of a number.

    Args:
        x: The number.
    """
    return numeric(np.abs, x)


@process(categories=_MATH, durable=False)
def ceil(x: float | None) -> float | None:
    """Least whole number that is not less than a number.

    Args:
        x: The number.
    """
    return numeric(_ceil, x)


@process(categories=_MATH, durable=False)
def floor(x: float | None) -> float | None:
    """Greatest whole number that is not greater than a number.

    Args:
        x: The number.
    """
    return numeric(_floor, x)


@process(categories=_MATH, durable=False)
def sgn(x: float | None) -> float | None:
    """Sign of a number: -1, 0 or 1.

    Args:
        x: The number.
    """
    return numeric(np.sign, x)


@process(categories=_MATH, durable=False)
def sqrt(x: float | None) -> float | None:
    """Square root of a number; NaN for a negative one.

    Args:
        x: The number.
    """
    return numeric(np.sqrt, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def sin(x: float | None) -> float | None:
    """Sine of an angle in radians.

    Args:
        x: The angle or number.
    """
    return numeric(np.sin, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def cos(x: float | None) -> float | None:
    """Cosine of an angle in radians.

    Args:
        x: The angle or number.
    """
    return numeric(np.cos, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def tan(x: float | None) -> float | None:
    """Tangent of an angle in radians.

    Args:
        x: The angle or number.
    """
    return numeric(np.tan, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def sinh(x: float | None) -> float | None:
    """Hyperbolic sine of a number.

    Args:
        x: The angle or number.
    """
    return numeric(np.sinh, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def cosh(x: float | None) -> float | None:
    """Hyperbolic cosine of a number.

    Args:
        x: The angle or number.
    """
    return numeric(np.cosh, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def tanh(x: float | None) -> float | None:
    """Hyperbolic tangent of a number.

    Args:
        x: The angle or number.
    """
    return numeric(np.tanh, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def arcsin(x: float | None) -> float | None:
    """Angle in radians whose sine is the number; NaN outside -1 to 1.

    Args:
        x: The angle or number.
    """
    return numeric(np.arcsin, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def arccos(x: float | None) -> float | None:
    """Angle in radians whose cosine is the number; NaN outside -1 to 1.

    Args:
        x: The angle or number.
    """
    return numeric(np.arccos, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def arctan(x: float | None) -> float | None:
    """Angle in radians whose tangent is the number.

    Args:
        x: The angle or number.
    """
    return numeric(np.arctan, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def arsinh(x: float | None) -> float | None:
    """Number whose hyperbolic sine is the given one.

    Args:
        x: The angle or number.
    """
    return numeric(np.arcsinh, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def arcosh(x: float | None) -> float | None:
    """Number whose hyperbolic cosine is the given one; NaN below 1.

    Args:
        x: The angle or number.
    """
    return numeric(np.arccosh, x)


@process(categories=_TRIGONOMETRIC, durable=False)
def artanh(x: float | None) -> float | None:
    """Number whose hyperbolic tangent is the given one; NaN beyond -1 and 1.

    Args:
        x: The angle or number.
    """
    return numeric(np.arctanh, x)


@process(id="int", categories=_MATH, durable=False)
def int_(x: float | None) -> int | None:
    """Whole part of a number: what is left when the digits after the point are cut off; null of NaN.

    Args:
        x: The number.
    """
    return None if is_nan_number(x) else numeric(_whole, x)


@process(categories=_MATH, durable=False)
def exp(p: float | None) -> float | None:
    """Euler's number raised to a power.

    Args:
        p: The exponent.
    """
    return numeric(np.exp, p)


@process(categories=_MATH, durable=False)
def ln(x: float | None) -> float | None:
    """Natural logarithm; minus infinity of zero, NaN of a negative number.

    Args:
        x: The number.
    """
    return numeric(np.log, x)


@process(categories=_MATH, durable=False)
def log(x: float | None, base: float | None) -> float | None:
    """Logarithm to a base.

    Args:
        x: The number.
        base: The base.
    """
    return numeric(_log, x, base)


@process(categories=_MATH, durable=False)
def power(base: float | None, p: float | None) -> float | None:
    """A number raised to a power.

    Args:
        base: The number.
        p: The exponent.
    """
    return numeric(_power, base, p)


@process(categories=_MATH, durable=False)
def mod(x: float | None, y: float | None) -> float | None:
    """What is left of a division; it has the divisor's sign.

    Args:
        x: The dividend.
        y: The divisor.

    Raises:
        ProcessRefused: `DivisionByZero`.
    """
    _refuse_zero(y)
    return numeric(_modulo, x, y)


@process(categories=_TRIGONOMETRIC, durable=False)
def arctan2(y: float | None, x: float | None) -> float | None:
    """Angle in radians between the first axis and the point (x, y), in the right quadrant.

    Args:
        y: The second coordinate.
        x: The first coordinate.
    """
    return numeric(np.arctan2, y, x)


@process(id="round", categories=_MATH, durable=False)
def round_(x: float | None, p: int = 0) -> float | None:
    """A number rounded to `p` digits after the point; halves go to the even digit (IEEE 754-2019, 4.3.1).

    Args:
        x: The number.
        p: Digits after the point; negative for tens, hundreds and so on.
    """
    return numeric(lambda value: _rounded(value, p), x)


@process(categories=_MATH, durable=False)
def clip(x: float | None, min: float, max: float) -> float | None:
    """A number moved to the nearer bound when it lies outside.

    Args:
        x: The number.
        min: Lower bound.
        max: Upper bound.

    Raises:
        ProcessRefused: `MinMaxSwapped`.
    """
    if min > max:
        raise ProcessRefused(f"The lower bound {min} is above the upper bound {max}.", exception="MinMaxSwapped")
    return numeric(np.clip, x, min, max)


@process(id="linear_scale_range", categories=_MATH, durable=False)
def linear_scale_range(
    x: float | None,
    inputMin: float,
    inputMax: float,
    outputMin: float = 0,
    outputMax: float = 1,
) -> float | None:
    """A number carried over from one range to another, clipped to the first range before.

    Args:
        x: The number.
        inputMin: Least value of the range it is in.
        inputMax: Greatest value of that range.
        outputMin: Least value of the range it goes to.
        outputMax: Greatest value of that range.
    """
    clipped = clip.function(x, min(inputMin, inputMax), max(inputMin, inputMax))
    if clipped is None:
        return None
    return (clipped - inputMin) / (inputMax - inputMin) * (outputMax - outputMin) + outputMin


@process(categories=("math", "math > indices"), durable=False)
def normalized_difference(x: float | None, y: float | None) -> float | None:
    """Difference of two numbers over their sum.

    Args:
        x: The first number.
        y: The second number.
    """
    return numeric(lambda a, b: np.divide(np.subtract(a, b), np.add(a, b)), x, y)


@process(categories=("math", "math > constants"), durable=False)
def e() -> float:
    """Euler's number, the base of the natural logarithm."""
    return math.e


@process(categories=("math", "math > constants"), durable=False)
def pi() -> float:
    """Ratio of a circle's circumference to its diameter."""
    return math.pi


@process(categories=("math", "math > constants"), durable=False)
def nan() -> float:
    """The value that is not a number."""
    return math.nan


@process(categories=("math",), durable=False)
def constant(x: Any) -> Any:
    """A value, unchanged.

    Args:
        x: The value.
    """
    return x


def _refuse_zero(divisor: Any) -> None:
    if not is_array(divisor) and divisor == 0 and not isinstance(divisor, bool):
        raise ProcessRefused("Division by zero is not supported.", exception="DivisionByZero")


def _ceil(value: Any) -> Any:
    return _kept(np.ceil(value))


def _floor(value: Any) -> Any:
    return _kept(np.floor(value))


def _whole(value: Any) -> Any:
    return _kept(np.trunc(value))


def _kept(value: Any) -> Any:
    # Plain whole numbers are integers in JSON; infinite ones and NaN stay what they are.
    return int(value) if not is_array(value) and math.isfinite(value) else value


def _modulo(dividend: Any, divisor: Any) -> Any:
    # numpy gives the infinite divisor back when the signs differ; nothing is left of less than one division.
    infinite = not is_array(divisor) and math.isinf(divisor) and not is_array(dividend) and math.isfinite(dividend)
    return dividend if infinite else np.mod(dividend, divisor)


def _rounded(value: Any, digits: int) -> Any:
    if is_array(value) or not math.isfinite(value):
        return np.round(value, digits)
    # In decimal, as people write numbers: 0.35 lies half way, though its nearest binary number does not.
    rounded = decimal.Decimal(repr(value)).quantize(decimal.Decimal(1).scaleb(-digits), decimal.ROUND_HALF_EVEN)
    return int(rounded) if digits <= 0 else float(rounded)


def _log(value: Any, base: Any) -> Any:
    return np.divide(np.log(value), np.log(base))


def _power(base: Any, exponent: Any) -> Any:
    return np.power(np.asarray(base, dtype=float) if not is_array(base) else base, exponent)
