"""Potential evapotranspiration from temperature alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def extraterrestrial_radiation(day_of_year: ArrayLike, latitude: float) -> NDArray[np.float64]:
    """Return radiation at the top of the atmosphere in MJ m-2 d-1 (FAO-56: Allen et al. 1998, eqs 21-25).

    FAO-56 example 8 (20 degrees south, 3 September, day 246) gives 32.2:

    >>> round(float(extraterrestrial_radiation(246, -20.0)), 1)
    32.2
    """
    angle = 2.0 * np.pi * np.asarray(day_of_year, dtype=np.float64) / 365.0
    phi = np.deg2rad(latitude)
    distance = 1.0 + 0.033 * np.cos(angle)
    declination = 0.409 * np.sin(angle - 1.39)
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1.0, 1.0))
    up = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    return np.asarray(24.0 * 60.0 / np.pi * 0.0820 * distance * up, dtype=np.float64)


def oudin_pet(temperature: ArrayLike, day_of_year: ArrayLike, latitude: float) -> NDArray[np.float64]:
    """Return potential evapotranspiration in mm d-1 (Oudin et al. 2005, doi 10.1016/j.jhydrol.2004.08.026, eq. 3).

    Args:
        temperature: Daily mean air temperature in degC.
        day_of_year: 1 to 366, same shape.
        latitude: Degrees north.

    >>> float(oudin_pet(-6.0, 15, 51.0))
    0.0
    """
    t = np.asarray(temperature, dtype=np.float64)
    # 2.45 MJ kg-1 is the latent heat of vaporisation: MJ m-2 d-1 become mm d-1.
    depth = extraterrestrial_radiation(day_of_year, latitude) / 2.45
    return np.asarray(depth * np.maximum(t + 5.0, 0.0) / 100.0, dtype=np.float64)
