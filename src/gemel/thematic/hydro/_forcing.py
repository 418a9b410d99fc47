"""The matrix that drives the model: rain, temperature, PET and season of each day, with every gap filled causally."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro._periods import within
from gemel.thematic.hydro._pet import oudin_pet

Array = NDArray[np.float64]


class Change(NamedTuple):
    """A weather scenario: rain times a factor, temperature plus an offset in K."""

    rain: float = 1.0
    temperature: float = 0.0


NO_CHANGE = Change()

#: Names of the columns of a forcing matrix.
COLUMNS = ("precipitation", "temperature", "pet", "season")


def climatology(record: xr.Dataset, train: str) -> xr.Dataset:
    """Return monthly means of the forcing in the training period, and how PET is to be had.

    Args:
        record: Daily record.
        train: Training period.

    Returns:
        `climatology` (month, forcing) in mm d-1, degC, mm d-1; attributes `has_temperature`, `pet_from_temperature`,
        `area_km2`, `latitude`, `place`, `train`.

    Raises:
        InvalidInput: The period holds no rain, or neither temperature nor PET.
    """
    chosen = record.isel(time=within(record["time"].values, train))
    names = COLUMNS[:3]
    month = pd.DatetimeIndex(chosen["time"].values).month
    table = pd.DataFrame({n: chosen[n].values for n in names}, index=month)
    known = table.notna().mean() if len(table) else pd.Series(0.0, index=names)
    if known["precipitation"] < 0.5 or max(known["temperature"], known["pet"]) < 0.5:
        raise InvalidInput(
            f"Period {train} has too few days with rain and with temperature or PET.",
            hint="Choose a training period inside the record.",
            period=train,
        )
    means = table.groupby(level=0).mean().reindex(range(1, 13)).to_numpy(dtype=np.float64)
    means = np.where(np.isfinite(means), means, np.nanmean(table.to_numpy(), axis=0) if known.all() else means)
    attrs = {
        "has_temperature": int(known["temperature"] >= 0.5),
        "pet_from_temperature": int(known["pet"] < 0.5),
        **{k: record.attrs[k] for k in ("area_km2", "latitude", "place")},
        "train": train,
    }
    coords = {"month": np.arange(1, 13), "forcing": list(names)}
    return xr.Dataset({"climatology": (("month", "forcing"), means)}, coords=coords, attrs=attrs)


def season(time: pd.DatetimeIndex) -> Array:
    """Return the angle of the year of each day in radians."""
    return np.asarray(2.0 * np.pi * time.day_of_year.to_numpy() / 365.25, dtype=np.float64)


def forcing(record: xr.Dataset, model: xr.Dataset, change: Change = NO_CHANGE) -> Array:
    """Return the forcing matrix (day, 4) of `COLUMNS`, every value finite but the temperature of a basin without any.

    A gap in rain or temperature becomes the mean of its month in the training period, which keeps the volume right
    and looks at no later day. PET is the record's own, else Oudin's from temperature.

    Args:
        record: Rows of a record.
        model: Whatever holds the `climatology`.
        change: Scenario to apply.

    Raises:
        InvalidInput: A temperature offset for a basin without temperature, or a negative factor.
    """
    check_change(model, change)
    time = pd.DatetimeIndex(record["time"].values)
    usual = model["climatology"].values[time.month.to_numpy() - 1]
    values = np.column_stack([record[n].values for n in COLUMNS[:3]]).astype(np.float64)
    values = np.where(np.isfinite(values), values, usual)
    if not model.attrs["has_temperature"]:
        values[:, 1] = np.nan
    return changed(np.column_stack([values, season(time)]), time.day_of_year.to_numpy(), model, change)


def check_change(model: xr.Dataset, change: Change) -> None:
    """Raise `InvalidInput` if the basin cannot be driven by this scenario."""
    rain, temperature = change
    if not (np.isfinite(rain) and rain >= 0 and np.isfinite(temperature)):
        raise InvalidInput(f"Rain factor {rain} and temperature offset {temperature} make no weather.", rain=rain)
    if temperature and not model.attrs["has_temperature"]:
        raise InvalidInput(
            "This basin's record has no temperature, so no temperature offset can act.",
            hint="Leave the temperature offset at 0.",
            temperature=temperature,
        )


def changed(matrix: Array, day_of_year: NDArray[np.int64], model: xr.Dataset, change: Change) -> Array:
    """Return a forcing matrix (..., 4) with the scenario's rain and temperature, and PET to match.

    Args:
        matrix: Forcing; its PET is replaced wherever the basin derives PET from temperature.
        day_of_year: Same shape without the last axis.
        model: Whatever holds the `climatology`.
        change: Scenario to apply.
    """
    out = matrix.copy()
    out[..., 0] *= change.rain
    out[..., 1] += change.temperature
    if model.attrs["pet_from_temperature"]:
        out[..., 2] = oudin_pet(out[..., 1], day_of_year, model.attrs["latitude"])
    return out
