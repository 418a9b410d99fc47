"""Angles and hyperbolic functions (openEO process specification, group `math > trigonometric`)."""

from __future__ import annotations

import numpy as np

from gemel.core.processes._nodata import numeric
from gemel.core.processes._standard import standard


@standard(on="cells")
def sin(x: float | None) -> float | None:
    """Sine of an angle in radians.

    Args:
        x: The angle or number.
    """
    return numeric(np.sin, x)


@standard(on="cells")
def cos(x: float | None) -> float | None:
    """Cosine of an angle in radians.

    Args:
        x: The angle or number.
    """
    return numeric(np.cos, x)


@standard(on="cells")
def tan(x: float | None) -> float | None:
    """Tangent of an angle in radians.

    Args:
        x: The angle or number.
    """
    return numeric(np.tan, x)


@standard(on="cells")
def sinh(x: float | None) -> float | None:
    """Hyperbolic sine of a number.

    Args:
        x: The angle or number.
    """
    return numeric(np.sinh, x)


@standard(on="cells")
def cosh(x: float | None) -> float | None:
    """Hyperbolic cosine of a number.

    Args:
        x: The angle or number.
    """
    return numeric(np.cosh, x)


@standard(on="cells")
def tanh(x: float | None) -> float | None:
    """Hyperbolic tangent of a number.

    Args:
        x: The angle or number.
    """
    return numeric(np.tanh, x)


@standard(on="cells", wider=("x",))
def arcsin(x: float | None) -> float | None:
    """Angle in radians whose sine is the number; NaN outside -1 to 1.

    Args:
        x: The angle or number.
    """
    return numeric(np.arcsin, x)


@standard(on="cells", wider=("x",))
def arccos(x: float | None) -> float | None:
    """Angle in radians whose cosine is the number; NaN outside -1 to 1.

    Args:
        x: The angle or number.
    """
    return numeric(np.arccos, x)


@standard(on="cells")
def arctan(x: float | None) -> float | None:
    """Angle in radians whose tangent is the number.

    Args:
        x: The angle or number.
    """
    return numeric(np.arctan, x)


@standard(on="cells")
def arsinh(x: float | None) -> float | None:
    """Number whose hyperbolic sine is the given one.

    Args:
        x: The angle or number.
    """
    return numeric(np.arcsinh, x)


@standard(on="cells", wider=("x",))
def arcosh(x: float | None) -> float | None:
    """Number whose hyperbolic cosine is the given one; NaN below 1.

    Args:
        x: The angle or number.
    """
    return numeric(np.arccosh, x)


@standard(on="cells", wider=("x",))
def artanh(x: float | None) -> float | None:
    """Number whose hyperbolic tangent is the given one; NaN beyond -1 and 1.

    Args:
        x: The angle or number.
    """
    return numeric(np.arctanh, x)


@standard(on="cells")
def arctan2(y: float | None, x: float | None) -> float | None:
    """Angle in radians between the first axis and the point (x, y), in the right quadrant.

    Args:
        y: The second coordinate.
        x: The first coordinate.
    """
    return numeric(np.arctan2, y, x)
