"""Two real daily records that travel inside the installed package spotpy; they are read there, never copied."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from gemel.base.errors import InvalidInput, MissingExtra
from gemel.thematic.hydro._record import make_record

PACKAGED = ("fulda", "leaf")


def packaged_record(name: str) -> xr.Dataset:
    """Return a packaged daily record.

    `fulda`: river Fulda, Germany, 1979-1988; rain, temperature, discharge (units in the file). Area 2976.41 km2 is
    the one that spotpy's own example uses with this file; latitude 51 is not in the package and not verified.
    `leaf`: 1952-07-28 to 1962-09-30; very likely Leaf River near Collins, Mississippi (not verified: the file names no
    place). Column 4 is discharge, 5 PET, 6-9 rain of the four quarters of the day. With m3 s-1 and 1944 km2 (not in
    the package) the balance closes: rain 1355, PET 1089, runoff 459 mm a year, so losses of 896 stay below PET; the
    same numbers read as mm d-1 would be 7.6 times the rain.

    Raises:
        InvalidInput: No packaged record has that name, or the file is not as expected.
        MissingExtra: spotpy is not installed.
    """
    readers = {"fulda": _fulda, "leaf": _leaf}
    if name not in readers:
        raise InvalidInput(f"No packaged record '{name}'.", hint=f"One of {', '.join(PACKAGED)}.", name=name)
    try:
        return readers[name]()
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InvalidInput(f"The packaged record '{name}' cannot be read: {error}", name=name) from error


def _examples() -> Path:
    # find_spec does not import spotpy, which would load matplotlib and more.
    spec = find_spec("spotpy")
    if spec is None or spec.origin is None:
        raise MissingExtra("The packaged records need spotpy.", hint="pip install spotpy")
    return Path(spec.origin).parent / "examples"


def _fulda() -> xr.Dataset:
    table = pd.read_csv(_examples() / "cmf_data" / "fulda_climate.csv", skiprows=[1], encoding="utf-8")
    time = pd.to_datetime(table["date"], format="%d.%m.%Y").to_numpy()
    columns = {"precipitation": "Prec", "temperature": "tmean", "discharge": "Q"}
    data = {ours: table[theirs].to_numpy(dtype=np.float64) for ours, theirs in columns.items()}
    source = "spotpy: examples/cmf_data/fulda_climate.csv"
    return make_record(time, data, area=2976.41, latitude=51.0, place="Fulda", source=source)


def _leaf() -> xr.Dataset:
    rows = np.loadtxt(_examples() / "hymod_unix" / "bound.txt")
    dates = pd.DataFrame(rows[:, :3].astype(int), columns=["day", "month", "year"])
    data = {"discharge": rows[:, 3], "pet": rows[:, 4], "precipitation": rows[:, 5:9].sum(axis=1)}
    source = "spotpy: examples/hymod_unix/bound.txt (basin likely Leaf River: unverified)"
    place = "Leaf River (unverified)"
    return make_record(pd.to_datetime(dates).to_numpy(), data, area=1944.0, latitude=31.7, place=place, source=source)
