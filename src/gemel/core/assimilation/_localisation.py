"""How far an observation reaches: distances, and the function that tapers with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput

Array = NDArray[np.float64]

_EARTH_KM = 6371.0088  # mean radius of WGS 84 (IUGG, Moritz 2000)
_GEOGRAPHIC = ({"lon", "lat"}, {"longitude", "latitude"})


@dataclass(frozen=True)
class Reach:
    """How far observations reach.

    Attributes:
        radius: Distance at which the taper is zero: km where places are longitudes and latitudes, else in the unit
            of the coordinates.
        period: After which a coordinate comes back to its begin, for a ring; None for none.
    """

    radius: float
    period: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a reach."""
        for name in ("radius", "period"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise InvalidInput(f"The {name} of localisation is a positive number, not {value}.")

    def taper(self, first: Array, second: Array, names: tuple[str, ...]) -> Array:
        """Return the taper between places: (first, second), 1 at the same place and 0 from the radius on.

        Args:
            first: (n, coordinate).
            second: (m, coordinate).
            names: Of the coordinates.

        Raises:
            InvalidInput: Nothing tells where the places are.
        """
        if not names:
            hint = "Give them a numeric coordinate that the state has too, or leave the radius out."
            raise InvalidInput("Nothing tells where the observations lie.", hint=hint)
        return gaspari_cohn(2.0 * self._distance(first, second, names) / self.radius)

    def _distance(self, first: Array, second: Array, names: tuple[str, ...]) -> Array:
        if {name.lower() for name in names} in _GEOGRAPHIC:
            east = next(number for number, name in enumerate(names) if name.lower().startswith("lon"))
            return _great_circle(first[:, [east, 1 - east]], second[:, [east, 1 - east]])
        apart = np.abs(first[:, None, :] - second[None, :, :])
        if self.period is not None:
            apart = np.minimum(apart % self.period, self.period - apart % self.period)
        return np.asarray(np.sqrt((apart**2).sum(axis=2)))


def gaspari_cohn(distance: Array) -> Array:
    """Return the compactly supported correlation function of Gaspari and Cohn (1999), eq. 4.10.

    Args:
        distance: In units of half the distance at which the function is zero; any shape, not negative.

    >>> [round(float(x), 4) for x in gaspari_cohn(np.array([0.0, 1.0, 2.0, 3.0]))]
    [1.0, 0.2083, 0.0, 0.0]
    """
    r = np.asarray(distance, dtype=np.float64)
    near = 1.0 + r**2 * (-5.0 / 3.0 + r * (5.0 / 8.0 + r * (0.5 - 0.25 * r)))
    safe = np.maximum(r, 1.0)
    far = 4.0 - 5.0 * r + r**2 * (5.0 / 3.0 + r * (5.0 / 8.0 + r * (-0.5 + r / 12.0))) - 2.0 / (3.0 * safe)
    return np.clip(np.where(r <= 1.0, near, np.where(r < 2.0, far, 0.0)), 0.0, 1.0)


def _great_circle(first: Array, second: Array) -> Array:
    """Return the distances in km between (longitude, latitude) in degrees, by the haversine formula."""
    one, two = np.radians(first)[:, None, :], np.radians(second)[None, :, :]
    half = np.sin((two - one) / 2.0) ** 2
    root = half[..., 1] + np.cos(one[..., 1]) * np.cos(two[..., 1]) * half[..., 0]
    return np.asarray(2.0 * _EARTH_KM * np.arcsin(np.sqrt(np.clip(root, 0.0, 1.0))))
