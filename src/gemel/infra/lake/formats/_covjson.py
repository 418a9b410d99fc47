"""CoverageJSON (OGC 21-069r2): a cube as one coverage whose parameters are the bands, with its values inside."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyproj
import xarray as xr

from gemel.infra.lake._axes import (
    bands_dim,
    crs_of,
    geometry_dim,
    is_temporal,
    time_dim,
    with_grid,
    x_dim,
    y_dim,
    z_dim,
)
from gemel.infra.lake._blocks import rows
from gemel.infra.lake.formats._format import Format, Options, cube_empty, unsuitable
from gemel.infra.lake.formats._values import (
    NUMERIC,
    band_units,
    by_band,
    kind_of,
    moments,
    plain,
    raster,
    with_band_units,
)

_NAME = "CoverageJSON"
_MOST = 5_000_000  # values: a text file larger than some 100 MB helps nobody
_OGC_CRS = "http://www.opengis.net/def/crs/"
_LONLAT = f"{_OGC_CRS}OGC/1.3/CRS84"
_GREGORIAN = "Gregorian"
_UCUM = "http://www.opengis.net/def/uom/UCUM/"


def _write(value: Any, path: Path, options: Options) -> list[Path]:
    if kind_of(value) == "vector":
        return _write_points(value, path)
    cube = raster(value, _NAME)
    _small(cube)
    axes = _axes(cube)
    domain = _domain(cube, axes)
    with path.open("w", encoding="utf-8") as stream:
        stream.write('{"type":"Coverage","domain":' + _text(domain))
        stream.write(',"parameters":' + _text(_parameters(cube)) + ',"ranges":{')
        for number, (name, band) in enumerate(by_band(cube).items()):
            stream.write(("," if number else "") + json.dumps(name) + ":")
            _range(stream, band, axes)
        stream.write("}}")
    return [path]


def _axes(cube: xr.DataArray) -> dict[str, str]:
    """Return the axis name (x, y, z or t where the standard knows it) of each dimension but bands."""
    known = {x_dim(cube): "x", y_dim(cube): "y", z_dim(cube): "z", time_dim(cube): "t"}
    return {str(dim): known.get(str(dim), str(dim)) for dim in cube.dims if dim != bands_dim(cube)}


def _domain(cube: xr.DataArray, axes: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for dim, axis in axes.items():
        labels = cube[dim]
        found[axis] = {"values": moments(labels.values) if is_temporal(labels) else plain(labels.values)}
    for name in cube.coords:
        # Scalar coordinates place a series: a point's x and y, or the one instant of a map.
        place = {"x": "x", "lon": "x", "longitude": "x", "y": "y", "lat": "y", "latitude": "y"}.get(str(name))
        if cube[name].ndim == 0 and place and place not in found:
            found[place] = {"values": [plain(cube[name].values[()])]}
        elif cube[name].ndim == 0 and "t" not in found and is_temporal(cube[name]):
            found["t"] = {"values": moments(np.atleast_1d(cube[name].values))}
    domain: dict[str, Any] = {"type": "Domain", "axes": found, "referencing": _referencing(cube, found)}
    kind = _domain_type(found)
    return domain | ({"domainType": kind} if kind else {})


def _domain_type(axes: dict[str, Any]) -> str | None:
    """Return the domain type of clause 9.11 that the axes make, or None for axes that the standard does not name."""
    many = {name for name, axis in axes.items() if len(axis["values"]) > 1}
    if not {"x", "y"} <= set(axes) or not set(axes) <= {"x", "y", "z", "t"}:
        return None
    if "t" in axes and many <= {"t"}:
        return "PointSeries"
    return "Grid"


def _referencing(cube: xr.DataArray, axes: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    crs = crs_of(cube)
    horizontal = [name for name in ("x", "y") if name in axes]
    if horizontal and crs is not None:
        kind = "GeographicCRS" if crs.is_geographic else "ProjectedCRS"
        found.append({"coordinates": horizontal, "system": {"type": kind, "id": _crs_id(crs)}})
    if "t" in axes:
        t = time_dim(cube)
        calendar = _GREGORIAN if t is None or cube[t].dtype.kind == "M" else str(cube[t].values[0].calendar)
        found.append({"coordinates": ["t"], "system": {"type": "TemporalRS", "calendar": calendar}})
    if "z" in axes:
        found.append({"coordinates": ["z"], "system": {"type": "VerticalCRS"}})
    return found


def _crs_id(crs: pyproj.CRS) -> str:
    # The values are in the order x, y: for WGS 84 that is CRS84, not EPSG 4326.
    if crs.is_geographic and crs.to_epsg() in (4326, None) and "84" in crs.name:
        return _LONLAT
    authority = crs.to_authority()
    return f"{_OGC_CRS}{authority[0]}/0/{authority[1]}" if authority else crs.to_wkt()


def _parameters(cube: xr.DataArray) -> dict[str, Any]:
    units = band_units(cube)
    found = {}
    for name in by_band(cube):
        label = str(cube.attrs.get("long_name", name)) if bands_dim(cube) is None else name
        parameter: dict[str, Any] = {"type": "Parameter", "observedProperty": {"label": {"en": label}}}
        if "standard_name" in cube.attrs and bands_dim(cube) is None:
            standard = str(cube.attrs["standard_name"])
            parameter["observedProperty"]["id"] = f"http://vocab.nerc.ac.uk/standard_name/{standard}/"
        unit = units.get(name, units.get("value", ""))
        if unit:
            parameter["unit"] = {"label": {"en": unit}, "symbol": {"value": _ucum(unit), "type": _UCUM}}
        found[name] = parameter
    return found


def _ucum(unit: str) -> str:
    """Return a UDUNITS spelling as UCUM writes it: factors joined by points, exponents as they are.

    >>> _ucum("m3 s-1"), _ucum("degC"), _ucum("1")
    ('m3.s-1', 'Cel', '1')
    """
    names = {
        "degC": "Cel",
        "celsius": "Cel",
        "degrees": "deg",
        "degree": "deg",
        "day": "d",
        "hour": "h",
        "percent": "%",
    }
    return ".".join(names.get(part, part) for part in unit.split())


def _range(stream: TextIO, band: xr.DataArray, axes: dict[str, str]) -> None:
    names = [axes[str(dim)] for dim in band.dims]
    kind = {"b": "integer", "i": "integer", "u": "integer"}.get(band.dtype.kind, "float")
    head = {"type": "NdArray", "dataType": kind, "axisNames": names, "shape": list(band.shape)}
    stream.write(_text(head)[:-1] + ',"values":[')
    for number, piece in enumerate(_texts(band)):
        stream.write(("," if number else "") + piece)
    stream.write("]}")


def _texts(band: xr.DataArray) -> Iterator[str]:
    for region in rows(band, limit=4 << 20):
        cells = band.isel(region).values.ravel()
        if cells.dtype.kind == "b":
            cells = cells.astype("int8")
        # float32 0.1 is written as 0.1, not as the nearest double.
        items = [float(str(item)) for item in cells] if cells.dtype == np.dtype("float32") else cells.tolist()
        # JSON has no infinity either (RFC 8259, section 6).
        yield ",".join(json.dumps(item) if math.isfinite(item) else "null" for item in items)


def _write_points(cube: xr.DataArray, path: Path) -> list[Path]:
    dim = geometry_dim(cube)
    if cube.size == 0:
        raise cube_empty(_NAME, cube.sizes)
    _small(cube)
    shapes = cube[dim].values
    if any(shape.geom_type != "Point" for shape in shapes):
        raise unsuitable(_NAME, "only geometries that are points make coverages", "Try GeoJSON or Parquet.")
    crs = crs_of(cube)
    coverages = []
    for position, shape in enumerate(shapes):
        plain_part = cube.isel({dim: position}).drop_vars([n for n in cube.coords if dim in cube[n].dims])
        one = with_grid(plain_part.assign_coords(x=shape.x, y=shape.y), crs)
        axes = _axes(one)
        ranges = {name: json.loads(_range_text(band, axes)) for name, band in by_band(one).items()}
        coverages.append({"type": "Coverage", "domain": _domain(one, axes), "ranges": ranges})
    whole = {"type": "CoverageCollection", "parameters": _parameters(cube.isel({dim: 0})), "coverages": coverages}
    path.write_text(_text(whole), encoding="utf-8")
    return [path]


def _range_text(band: xr.DataArray, axes: dict[str, str]) -> str:
    names = [axes[str(dim)] for dim in band.dims]
    kind = "float" if band.dtype.kind == "f" else "integer"
    head = {"type": "NdArray", "dataType": kind, "axisNames": names, "shape": list(band.shape)}
    return _text(head)[:-1] + ',"values":[' + ",".join(_texts(band)) + "]}"


def _small(cube: xr.DataArray) -> None:
    if cube.dtype.kind not in NUMERIC:
        raise unsuitable(_NAME, f"it holds numbers, and the cells are of type {cube.dtype}")
    if cube.size > _MOST:
        raise unsuitable(_NAME, f"{cube.size} values as text are too many ({_MOST} at most)", "Try netCDF or Zarr.")


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _read(path: Path, options: Options) -> xr.DataArray:
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.get("type") != "Coverage" or "domain" not in document:
        raise unsuitable(_NAME, f"a {document.get('type')!r} is not one coverage")
    bands = {name: _band(item, document) for name, item in document["ranges"].items()}
    units = [_unit(document["parameters"].get(name, {})) for name in bands]
    if len(bands) == 1:
        name, cube = next(iter(bands.items()))
        return cube.rename(name).assign_attrs({"units": units[0]} if units[0] else {})
    cube = xr.concat(list(bands.values()), dim="bands", coords="minimal", compat="override", join="exact")
    cube = cube.assign_coords(bands=list(bands))
    return with_band_units(cube, "bands", units)


def _band(item: dict[str, Any], document: dict[str, Any]) -> xr.DataArray:
    axes = document["domain"]["axes"]
    cells = np.array(item["values"], dtype=np.float64).reshape(item["shape"])
    if item["dataType"] == "integer" and not np.isnan(cells).any():
        cells = cells.astype(np.int64)
    coords = {name: (name, _labels(name, axes[name])) for name in item["axisNames"]}
    single = {name: _labels(name, axis)[0] for name, axis in axes.items() if name not in coords}
    cube = xr.DataArray(cells, coords | single, item["axisNames"])
    for part in document["domain"].get("referencing", []):
        if "x" in part["coordinates"]:
            cube = with_grid(cube, _crs(part["system"]["id"]))
    return cube


def _crs(name: str) -> pyproj.CRS:
    if name == _LONLAT:
        return pyproj.CRS.from_epsg(4326)
    if name.startswith(_OGC_CRS):
        authority, _, code = name.removeprefix(_OGC_CRS).split("/")
        return pyproj.CRS.from_user_input(f"{authority}:{code}")
    return pyproj.CRS.from_user_input(name)


def _labels(name: str, axis: dict[str, Any]) -> np.ndarray[Any, Any]:
    if "values" not in axis:
        return np.linspace(axis["start"], axis["stop"], axis["num"])
    if name == "t":
        return np.array([item.removesuffix("Z") for item in axis["values"]], "datetime64[ns]")
    return np.asarray(axis["values"])


def _unit(parameter: dict[str, Any]) -> str:
    label = parameter.get("unit", {}).get("label", {})
    return str(next(iter(label.values()), ""))


COVERAGEJSON = Format(
    name=_NAME,
    title="CoverageJSON (OGC 21-069r2)",
    description=(
        "One coverage with its values inside: a Grid, or a PointSeries where only time has several labels; vector "
        "cubes of points make a collection of PointSeries. For cubes of up to five million values."
    ),
    media_type="application/vnd.cov+json",
    suffix=".covjson",
    kinds=("raster", "vector"),
    aliases=("covjson",),
    writer=_write,
    reader=_read,
)
