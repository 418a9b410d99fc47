"""Mathematics on single numbers, of one cell or of all cells at once (openEO process specification, group `math`)."""

from __future__ import annotations

import decimal
import math
import operator
from typing import Any

import numpy as np

from gemel.base.errors import ProcessRefused
from gemel.core.graph import Field
from gemel.core.processes._nodata import is_array, is_nan_number, numeric
from gemel.core.processes._standard import standard

Operand = Field | float | None


@standard(on="cells")
def add(x: Operand, y: Operand) -> Operand:
    """Sum of two numbers.

    Args:
        x: The first summand.
        y: The second summand.
    """
    return numeric(operator.add, x, y)


@standard(on="cells")
def subtract(x: Operand, y: Operand) -> Operand:
    """Difference of two numbers.

    Args:
        x: The minuend.
        y: The subtrahend.
    """
    return numeric(operator.sub, x, y)


@standard(on="cells")
def multiply(x: Operand, y: Operand) -> Operand:
    """Product of two numbers.

    Args:
        x: The first factor.
        y: The second factor.
    """
    return numeric(operator.mul, x, y)


@standard(on="cells")
def divide(x: Operand, y: Operand) -> Operand:
    """Quotient of two numbers; in a cube, a cell divided by zero is infinite or no data.

    Args:
        x: The dividend.
        y: The divisor.

    Raises:
        ProcessRefused: `DivisionByZero`, when the divisor is the number zero.
    """
    _refuse_zero(y)
    return numeric(operator.truediv, x, y)


@standard(on="cells")
def absolute(x: float | None) -> float | None:
    """Absolute value of a number.

    Args:
        x: The number.
    """
    return numeric(np.abs, x)


@standard(on="cells")
def ceil(x: float | None) -> float | None:
    """Least whole number that is not less than a number.

    Args:
        x: The number.
    """
    return numeric(_ceil, x)


@standard(on="cells")
def floor(x: float | None) -> float | None:
    """Greatest whole number that is not greater than a number.

    Args:
        x: The number.
    """
    return numeric(_floor, x)


@standard(on="cells")
def sgn(x: float | None) -> float | None:
    """Sign of a number: -1, 0 or 1.

    Args:
        x: The number.
    """
    return numeric(np.sign, x)


@standard(on="cells", wider=("x",))
def sqrt(x: float | None) -> float | None:
    """Square root of a number; NaN for a negative one.

    Args:
        x: The number.
    """
    return numeric(np.sqrt, x)


@standard(id="int", on="cells")
def int_(x: float | None) -> int | None:
    """Whole part of a number: what is left when the digits after the point are cut off; null of NaN.

    Args:
        x: The number.
    """
    return None if is_nan_number(x) else numeric(_whole, x)


@standard(on="cells")
def exp(p: float | None) -> float | None:
    """Euler's number raised to a power.

    Args:
        p: The exponent.
    """
    return numeric(np.exp, p)


@standard(on="cells", wider=("x",))
def ln(x: float | None) -> float | None:
    """Natural logarithm; minus infinity of zero, NaN of a negative number.

    Args:
        x: The number.
    """
    return numeric(np.log, x)


@standard(on="cells", wider=("x",))
def log(x: float | None, base: float | None) -> float | None:
    """Logarithm to a base.

    Args:
        x: The number.
        base: The base.
    """
    return numeric(_log, x, base)


@standard(on="cells")
def power(base: float | None, p: float | None) -> float | None:
    """A number raised to a power.

    Args:
        base: The number.
        p: The exponent.
    """
    return numeric(_power, base, p)


@standard(on="cells")
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


@standard(id="round", on="cells")
def round_(x: float | None, p: int = 0) -> float | None:
    """A number rounded to `p` digits after the point; halves go to the even digit (IEEE 754-2019, 4.3.1).

    Args:
        x: The number.
        p: Digits after the point; negative for tens, hundreds and so on.
    """
    return numeric(lambda value: _rounded(value, p), x)


@standard(on="cells")
def clip(x: float | None, min: float, max: float) -> float | None:
    """A number moved to the nearer bound when it lies outside.

    Args:
        x: The number.
        min: Lower bound.
        max: Upper bound.

    Raises:
        ProcessRefused: `MinMaxSwapped`.
    """
    if not (is_array(min) or is_array(max)) and min > max:
        raise ProcessRefused(f"The lower bound {min} is above the upper bound {max}.", exception="MinMaxSwapped")
    return numeric(np.clip, x, min, max)


@standard(on="cells")
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
    return numeric(
        lambda value: (value - inputMin) / (inputMax - inputMin) * (outputMax - outputMin) + outputMin, clipped
    )


@standard(on="cells")
def e() -> float:
    """Euler's number, the base of the natural logarithm."""
    return math.e


@standard(on="cells")
def pi() -> float:
    """Ratio of a circle's circumference to its diameter."""
    return math.pi


@standard(on="cells")
def nan() -> float:
    """The value that is not a number."""
    return math.nan


@standard(on="cells")
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
