"""Weather for the days ahead, resampled from the historical record: analogues, never the future itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro._assimilate import wetness
from gemel.thematic.hydro._forcing import NO_CHANGE, Change, changed, forcing, season
from gemel.thematic.hydro._periods import within

Array = NDArray[np.float64]

#: Longest forecast in days.
LEADS = 5

#: An analogue lies at most so many days of the year from the day of issue ...
WINDOW = 20

#: ... and at least so many days away in time, so that no day of the year around the target is ever used.
EXCLUSION = 183


def weather_archive(record: xr.Dataset, parameters: xr.Dataset) -> xr.Dataset:
    """Return the training period's weather as an archive of analogues.

    Args:
        record: Daily record.
        parameters: Result of `calibrate`.

    Returns:
        `archive_weather` (archive, forcing) in mm d-1, degC, mm d-1; `archive_wetness` and `archive_usable` (archive):
        whether the next five days are in the archive too; attribute `warmth_memory`: lag-1 autocorrelation of
        temperature anomalies.
    """
    matrix = forcing(record, parameters)
    mask = within(record["time"].values, parameters.attrs["train"])
    time = record["time"].values[mask].astype("datetime64[ns]")
    usable = np.zeros(len(time), dtype=np.int8)
    usable[:-LEADS] = (time[LEADS:] - time[:-LEADS]) == np.timedelta64(LEADS, "D")
    usual = parameters["climatology"].values[pd.DatetimeIndex(record["time"].values).month.to_numpy() - 1, 1]
    anomaly = (matrix[:, 1] - usual)[mask]
    memory = float(np.corrcoef(anomaly[1:], anomaly[:-1])[0, 1]) if parameters.attrs["has_temperature"] else 0.0
    data = {
        "archive_weather": (("archive", "forcing"), matrix[mask, :3]),
        "archive_wetness": ("archive", wetness(matrix[:, 0])[mask]),
        "archive_usable": ("archive", usable),
    }
    coords = {"archive": time, "forcing": parameters["forcing"]}
    return xr.Dataset(data, coords=coords, attrs={"warmth_memory": memory})


def analogues(
    model: xr.Dataset, day: np.datetime64, today: tuple[float, float], *, members: int = 50, seed: int = 0
) -> NDArray[np.int64]:
    """Return the places in the archive of the days most like `day`, one per member, in random order.

    Of the archive's days in the same season (`WINDOW`) and outside the year around the target (`EXCLUSION`), the
    nearest in wetness and temperature are taken: resampling of nearest neighbours (Lall & Sharma 1996, doi
    10.1029/95WR02966).

    Args:
        model: Whatever holds the archive.
        day: Day of issue.
        today: Wetness index and temperature (degC, NaN if there is none) of the day of issue.
        members: How many; a day is used again only when there are fewer candidates.
        seed: Seed of the order.

    Raises:
        InvalidInput: The archive has no candidate for this day.
    """
    archive = pd.DatetimeIndex(model["archive"].values)
    target = pd.Timestamp(day)
    apart = np.abs(archive.day_of_year.to_numpy() - target.day_of_year)
    away = np.abs((archive - target).days.to_numpy())
    near = (np.minimum(apart, 365 - apart) <= WINDOW) & (away > EXCLUSION)
    places = np.flatnonzero(near & (model["archive_usable"].values > 0))
    if places.size == 0:
        raise InvalidInput(
            f"The weather archive has no analogue for {target.date()}.", hint="Train on two or more full years."
        )
    wet = model["archive_wetness"].values
    warm = model["archive_weather"].values[:, 1]
    distance = ((wet[places] - today[0]) / (wet.std() + 1e-9)) ** 2
    if np.isfinite(today[1]) and np.isfinite(warm).all():
        # Today's warmth tells more of tomorrow than today's rain does: weight 1.5.
        distance += (1.5 * (warm[places] - today[1]) / (warm.std() + 1e-9)) ** 2
    best = places[np.argsort(distance, kind="stable")][:members]
    rng = np.random.default_rng([seed, int(target.value // 86_400_000_000_000) + 1_000_000, 1])
    return np.asarray(rng.permutation(np.resize(best, members)), dtype=np.int64)


def weather_matrix(
    model: xr.Dataset,
    day: np.datetime64,
    warmth: float,
    chosen: NDArray[np.int64],
    *,
    days: int = LEADS,
    change: Change = NO_CHANGE,
) -> Array:
    """Return the members' weather (member, day, 4: rain, temperature, PET, season) of the days after `day`.

    An analogue's temperature is shifted by today's difference to it, which fades with the memory of temperature
    anomalies; its rain is taken as it is.

    Args:
        model: Whatever holds the archive and the climatology.
        day: Day of issue.
        warmth: Temperature of the day of issue (degC or NaN).
        chosen: Places in the archive, from `analogues`.
        days: 1 to 5.
        change: Scenario to apply.
    """
    lead = np.arange(1, days + 1)
    values = model["archive_weather"].values
    time = pd.DatetimeIndex(day + lead.astype("timedelta64[D]"))
    out = np.empty((len(chosen), days, 4))
    out[..., :3] = values[chosen[:, None] + lead]
    out[..., 3] = season(time)
    if np.isfinite(warmth):
        out[..., 1] += (warmth - values[chosen, 1])[:, None] * model.attrs["warmth_memory"] ** lead
    return changed(out, np.broadcast_to(time.day_of_year.to_numpy(), out.shape[:2]), model, change)
