"""The processes behind operators on references, with openEO's ids and null rule: light, hence never stored.

Where an operand is null the result is null, as the openEO process specification 2.0 says of its arithmetic.
"""

from __future__ import annotations

from gemel.base.errors import InvalidInput, ProcessRefused, did_you_mean
from gemel.core.graph._process import process
from gemel.core.graph._recording import register_builtin
from gemel.core.graph._types import Dataset, Field

Operand = Field | float | None


@register_builtin
@process(durable=False, categories=("math",))
def add(x: Operand, y: Operand) -> Operand:
    """Sum of two numbers or fields.

    Args:
        x: The first summand.
        y: The second summand.
    """
    return None if x is None or y is None else x + y


@register_builtin
@process(durable=False, categories=("math",))
def subtract(x: Operand, y: Operand) -> Operand:
    """Difference of two numbers or fields.

    Args:
        x: The minuend.
        y: The subtrahend.
    """
    return None if x is None or y is None else x - y


@register_builtin
@process(durable=False, categories=("math",))
def multiply(x: Operand, y: Operand) -> Operand:
    """Product of two numbers or fields; a dimensionless factor keeps the other's unit.

    Args:
        x: The first factor.
        y: The second factor.
    """
    return None if x is None or y is None else x * y


@register_builtin
@process(durable=False, categories=("math",))
def divide(x: Operand, y: Operand) -> Operand:
    """Quotient of two numbers or fields; a field divided by zero is infinite or NaN there.

    Args:
        x: The dividend.
        y: The divisor.

    Raises:
        ProcessRefused: `DivisionByZero`, when the divisor is the number zero.
    """
    if x is None or y is None:
        return None
    if isinstance(y, (int, float)) and y == 0:
        raise ProcessRefused("Division by zero is not supported.", exception="DivisionByZero")
    return x / y


@register_builtin
@process(durable=False, categories=("cubes",))
def select(data: Dataset, name: str) -> Field:
    """One named field of a dataset.

    Args:
        data: The dataset.
        name: The field's name.

    Raises:
        InvalidInput: The dataset has no field of that name.
    """
    if name not in data:
        hint = did_you_mean(name, map(str, data)) or f"It has: {', '.join(map(str, data))}."
        raise InvalidInput(f"The dataset has no field '{name}'.", hint=hint)
    return data[name]
