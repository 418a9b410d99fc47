"""How a raster becomes colours: range, ramp, and which part of the cube is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gemel.base.errors import InvalidInput, did_you_mean

# Few stops each, made for gemel; lightness rises evenly, so that they read in grey and with any colour vision.
RAMPS: Mapping[str, tuple[tuple[int, int, int], ...]] = {
    "water": ((12, 30, 62), (20, 82, 124), (38, 138, 160), (116, 190, 178), (222, 240, 214)),
    "heat": ((30, 14, 54), (112, 26, 96), (190, 54, 74), (238, 122, 48), (252, 220, 140)),
    "grey": ((0, 0, 0), (255, 255, 255)),
}
_FIELDS = ("minimum", "maximum", "ramp", "resampling", "select")
_RESAMPLINGS = ("nearest", "bilinear")
# Percentiles that bound the range when none is given: a few outliers must not take all the colours.
PERCENTILES = (2.0, 98.0)


@dataclass(frozen=True)
class Style:
    """How tiles are drawn.

    Attributes:
        minimum: Value of the ramp's first colour, or None for the 2nd percentile; `maximum` likewise, 98th.
        ramp: A key of `RAMPS`.
        resampling: `nearest` or `bilinear`.
        select: Labels of dimensions other than the two on the map, as (dimension, label); the last label by default.
    """

    minimum: float | None = None
    maximum: float | None = None
    ramp: str = "water"
    resampling: str = "nearest"
    select: tuple[tuple[str, Any], ...] = ()

    def colours(self, values: npt.NDArray[np.floating], low: float, high: float) -> npt.NDArray[np.uint8]:
        """Return RGBA bytes, shape (4, rows, columns), of values between `low` and `high`; NaN is transparent."""
        stops = np.asarray(RAMPS[self.ramp], dtype=float)
        span = high - low if high > low else 1.0
        position = np.clip((values - low) / span, 0.0, 1.0) * (len(stops) - 1)
        known = np.isfinite(values)
        filled = np.where(known, position, 0.0)
        rgb = [np.interp(filled, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
        return np.stack([*rgb, np.where(known, 255, 0)]).round().astype(np.uint8)


def style_of(configuration: Mapping[str, Any]) -> Style:
    """Return the style that a service's configuration asks for.

    Raises:
        InvalidInput: A parameter is unknown (`reason` unsupported) or its value makes no sense.

    >>> style_of({"minimum": 0, "maximum": 1}).ramp
    'water'
    """
    for name in configuration:
        if name not in _FIELDS:
            hint = did_you_mean(name, _FIELDS) or f"One of: {', '.join(_FIELDS)}."
            message = f"A service has no parameter '{name}'."
            raise InvalidInput(message, hint=hint, kind="service-parameter", name=name, reason="unsupported")
    select = configuration.get("select") or {}
    if not isinstance(select, Mapping) or not all(isinstance(value, (str, int, float)) for value in select.values()):
        raise _wrong("select", "it maps dimensions to labels")
    style = Style(
        minimum=_number(configuration, "minimum"),
        maximum=_number(configuration, "maximum"),
        ramp=_choice(configuration, "ramp", tuple(RAMPS)),
        resampling=_choice(configuration, "resampling", _RESAMPLINGS),
        select=tuple(sorted(select.items())),
    )
    if style.minimum is not None and style.maximum is not None and style.minimum >= style.maximum:
        raise _wrong("maximum", "it is not above the minimum")
    return style


def _number(configuration: Mapping[str, Any], name: str) -> float | None:
    value = configuration.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _wrong(name, "it is not a number")
    return float(value)


def _choice(configuration: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = configuration.get(name) or choices[0]
    if value not in choices:
        raise _wrong(name, f"it is none of {', '.join(choices)}")
    return str(value)


def _wrong(name: str, reason: str) -> InvalidInput:
    message = f"The service parameter '{name}' cannot be used: {reason}."
    return InvalidInput(message, kind="service-parameter", name=name, reason=reason)
