"""GRIB 1 and 2, read through GDAL: fields become bands, valid times become time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gemel.infra.lake._axes import with_grid
from gemel.infra.lake._lazy import Window, lazy_cube, lazy_variable
from gemel.infra.lake._rasters import cells, grid_of_source, open_raster
from gemel.infra.lake.formats._format import Format, Options, unreadable, unsuitable
from gemel.infra.lake.formats._values import with_band_units

_NAME = "GRIB"
_END = b"7777"  # how every message ends (WMO Manual on Codes, FM 92, section 8)


def _read(path: Path, options: Options) -> xr.DataArray:
    _check_end(path)
    with open_raster(str(path), path, "GRIB") as source:
        grid = grid_of_source(source)
        if grid is None:
            raise unsuitable(_NAME, "its grid is not a regular one")
        slots, units = _slots(source)
    times = sorted({time for time, _ in slots})
    names = list(dict.fromkeys(name for _, name in slots))
    number = {(times.index(time), names.index(name)): band for (time, name), band in slots.items()}

    def read(window: Window) -> np.ndarray[Any, Any]:
        shape = [item.stop - item.start for item in window]
        block = np.full(shape, np.nan, np.float64)
        with open_raster(str(path), path, "GRIB") as opened:
            for (t, name), band in number.items():
                inside = window[0].start <= t < window[0].stop and window[1].start <= name < window[1].stop
                if inside:
                    found = cells(opened, [band], window[2], window[3], np.dtype(np.float64))
                    block[t - window[0].start, name - window[1].start] = found[0]
        return block

    shape = (len(times), len(names), grid.height, grid.width)
    chunks = {"t": 1, "bands": 1, "y": grid.height, "x": grid.width}
    variable = lazy_variable(("t", "bands", "y", "x"), shape, np.float64, read, chunks=chunks)
    coords = {"t": np.array(times, "M8[s]").astype("M8[ns]"), "bands": np.array(names), "y": grid.y(), "x": grid.x()}
    cube = with_grid(lazy_cube(variable, coords), grid.crs)
    cube = with_band_units(cube, "bands", [units[name] for name in names])
    cube.encoding = dict(variable.encoding)
    return cube


def _slots(source: Any) -> tuple[dict[tuple[int, str], int], dict[str, str]]:
    """Return the number of each field by valid time and name, and the unit of each name."""
    found: list[tuple[int, str, str, str]] = []
    for band in range(1, source.count + 1):
        tags = source.tags(band)
        time = int(tags.get("GRIB_VALID_TIME", "0").split()[0])
        unit = tags.get("GRIB_UNIT", "").strip("[]")
        found.append((time, tags.get("GRIB_ELEMENT", f"field{band}"), tags.get("GRIB_SHORT_NAME", ""), unit))
    levels: dict[str, set[str]] = {}
    for _, element, level, _ in found:
        levels.setdefault(element, set()).add(level)
    slots, units = {}, {}
    for band, (time, element, level, unit) in enumerate(found, 1):
        name = element if len(levels[element]) == 1 else f"{element}@{level}"
        if (time, name) in slots:
            raise unsuitable(_NAME, f"it holds '{name}' more than once for one instant", "Are these ensemble members?")
        slots[time, name], units[name] = band, unit
    return slots, units


def _check_end(path: Path) -> None:
    with path.open("rb") as stream:
        if stream.read(4) != b"GRIB":
            raise unreadable(_NAME, path, "it does not begin as GRIB files do")
        stream.seek(-min(4096, path.stat().st_size), 2)
        # Some producers pad the last message with zeros.
        if not stream.read().rstrip(b"\0\r\n").endswith(_END):
            raise unreadable(_NAME, path, "its last message is cut off")


GRIB = Format(
    name=_NAME,
    title="GRIB 1 and 2 (WMO FM 92)",
    description="Fields on regular grids, read only: elements (and levels) become bands, valid times become time.",
    media_type="application/wmo-GRIB2",
    suffix=".grib2",
    kinds=("raster",),
    aliases=("grib2", "grib1", "grb"),
    reader=_read,
)
