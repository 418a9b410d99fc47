"""A basin's daily record: forcing and discharge on one gapless daily axis, read from a file or bytes.

Layout of a user's own file: comma-separated, a header line, one line a day, the columns in any order:

    date,precipitation,temperature,discharge,pet
    2001-01-01,3.2,1.5,12.7,0.4

`date` is ISO 8601; precipitation and pet in mm d-1, temperature in degC, discharge in m3 s-1. `date`,
`precipitation` and `discharge` must be there, and one of `temperature` and `pet`. An empty field or `NA`/`NaN` is a
gap. Rules: rows are sorted by date; of two rows for one day the later in the file wins (a correction); missing days
become gaps; negative rain, PET or discharge and infinite numbers become gaps. How often each happened is kept in the
record's attributes.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from gemel.base.errors import InvalidInput

VARIABLES: dict[str, dict[str, str]] = {
    "precipitation": {
        "standard_name": "lwe_precipitation_rate",
        "long_name": "precipitation over the basin",
        "units": "mm d-1",
    },
    "temperature": {"standard_name": "air_temperature", "long_name": "mean air temperature", "units": "degC"},
    "pet": {
        "standard_name": "water_potential_evapotranspiration_flux",
        "long_name": "potential evapotranspiration",
        "units": "mm d-1",
    },
    "discharge": {
        "standard_name": "water_volume_transport_in_river_channel",
        "long_name": "discharge at the outlet",
        "units": "m3 s-1",
    },
}


def read_record(source: str | Path | bytes, *, area: float, latitude: float, place: str = "basin") -> xr.Dataset:
    """Return the daily record in a CSV file of the layout above.

    Args:
        source: Path of the file, or its bytes.
        area: Basin area in km2.
        latitude: Degrees north, for potential evapotranspiration.
        place: Name of the basin.

    Raises:
        InvalidInput: The file cannot be read, is empty, lacks a column, or holds something that is no number.
    """
    try:
        raw = source if isinstance(source, bytes) else Path(source).read_bytes()
        table = pd.read_csv(io.BytesIO(raw), skipinitialspace=True, comment="#", dtype=str, on_bad_lines="error")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        name = "the given bytes" if isinstance(source, bytes) else str(source)
        raise InvalidInput(f"Cannot read a record from {name}: {error}", hint=_LAYOUT) from error
    table.columns = table.columns.str.strip().str.lower()
    columns = {name: _numbers(table, name) for name in VARIABLES if name in table}
    _require(table, columns)
    time = pd.to_datetime(table["date"], errors="coerce", format="ISO8601")
    if time.isna().any():
        row = int(np.argmax(time.isna()))
        raise InvalidInput(f"Line {row + 2}: '{table['date'].iloc[row]}' is not a date.", hint=_LAYOUT, line=row + 2)
    if time.dt.tz is not None:
        time = time.dt.tz_convert(None)
    return make_record(time.to_numpy(), columns, area=area, latitude=latitude, place=place)


_LAYOUT = "A header `date,precipitation,temperature,discharge[,pet]` and one line a day, dates as 2001-01-31."


def _require(table: pd.DataFrame, columns: dict[str, np.ndarray]) -> None:
    missing = [n for n in ("date", "precipitation", "discharge") if n not in table]
    if "temperature" not in columns and "pet" not in columns:
        missing.append("temperature or pet")
    if missing or table.empty:
        what = f"lacks {', '.join(missing)}" if missing else "has no rows"
        raise InvalidInput(f"The record {what}.", hint=_LAYOUT, columns=list(table.columns))


def _numbers(table: pd.DataFrame, name: str) -> np.ndarray:
    text = table[name].str.strip()
    values = pd.to_numeric(text, errors="coerce")
    wrong = values.isna() & text.notna() & ~text.str.lower().isin(["", "na", "nan", "null"])
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InvalidInput(
            f"Line {row + 2}: {name} '{text.iloc[row]}' is not a number.", hint=_LAYOUT, line=row + 2, column=name
        )
    return np.asarray(values, dtype=np.float64)


def make_record(
    time: np.ndarray, columns: dict[str, np.ndarray], *, area: float, latitude: float, place: str, source: str = ""
) -> xr.Dataset:
    """Return a record from arrays: sorted, one row a day, with gaps as NaN and CF attributes.

    Args:
        time: Days in any order, `datetime64`; the time of day is dropped.
        columns: Arrays by the names of `VARIABLES`; absent ones become all NaN.
        area: Basin area in km2.
        latitude: Degrees north.
        place: Name of the basin.
        source: Where the numbers come from.

    Raises:
        InvalidInput: Nothing to read, or an area or latitude that no basin has.
    """
    if not (np.isfinite(area) and area > 0 and -90 <= latitude <= 90):
        raise InvalidInput(f"No basin has area {area} km2 at latitude {latitude}.", area=area, latitude=latitude)
    if not np.isfinite(columns["precipitation"]).any():
        raise InvalidInput("The record has no precipitation at all.", hint=_LAYOUT)
    days = pd.DatetimeIndex(time).normalize()
    frame = pd.DataFrame({n: columns.get(n, np.full(len(days), np.nan)) for n in VARIABLES}, index=days)
    unsorted = bool((np.diff(days.asi8) < 0).any())
    repeated = int(days.duplicated().sum())
    frame = frame[~frame.index.duplicated(keep="last")].sort_index()
    full = pd.date_range(frame.index[0], frame.index[-1], freq="D")
    missing = len(full) - len(frame)
    frame = frame.reindex(full)
    impossible = ~np.isfinite(frame) & frame.notna()
    impossible |= frame[["precipitation", "pet", "discharge"]].lt(0).reindex(columns=frame.columns, fill_value=False)
    frame = frame.mask(impossible)
    attrs = {
        "Conventions": "CF-1.11", "featureType": "timeSeries", "title": f"Daily record of {place}", "place": place,
        "source": source or "user file", "area_km2": float(area), "latitude": float(latitude),
        "rows_repeated": repeated, "rows_missing": missing, "values_impossible": int(impossible.to_numpy().sum()),
        "rows_unsorted": int(unsorted),
    }  # fmt: skip
    data = {n: ("time", frame[n].to_numpy(dtype=np.float64), dict(VARIABLES[n])) for n in VARIABLES}
    coords = {"time": ("time", full.to_numpy().astype("datetime64[ns]"), {"standard_name": "time", "axis": "T"})}
    return xr.Dataset(data, coords=coords, attrs=attrs)
