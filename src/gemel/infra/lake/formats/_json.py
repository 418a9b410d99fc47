"""JSON: plain values as they are, small cubes with their labels, tables as lists of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gemel.infra.lake._axes import crs_of, geometry_dim, is_temporal, parsed_crs, with_grid
from gemel.infra.lake.formats._format import Format, Options, unsuitable
from gemel.infra.lake.formats._values import as_cube, instants, kind_of, plain

_NAME = "JSON"
_MOST = 5_000_000
_KIND = "gemel:cube"


def _write(value: Any, path: Path, options: Options) -> list[Path]:
    try:
        text = json.dumps(_document(value), allow_nan=False, indent=options["indent"], ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise unsuitable(_NAME, f"a {type(value).__name__} holds what JSON has no word for ({error})") from error
    path.write_text(text, encoding="utf-8")
    return [path]


def _document(value: Any) -> Any:
    kind = kind_of(value)
    if kind == "table":
        named = value if value.index.name is None else value.reset_index()
        return [plain(row) for row in named.to_dict("records")]
    if kind == "dataset":
        return _of_cube(as_cube(value, _NAME))
    return _of_cube(value) if isinstance(value, xr.DataArray) else plain(value)


def _of_cube(cube: xr.DataArray) -> Any:
    if cube.size > _MOST:
        raise unsuitable(_NAME, f"{cube.size} values as text are too many ({_MOST} at most)", "Try netCDF or Zarr.")
    if cube.ndim == 0:
        return plain(cube.values[()])
    if geometry_dim(cube) is not None:
        raise unsuitable(_NAME, "it has no word for geometries", "Use GeoJSON.")
    crs = crs_of(cube)
    labels = {str(dim): _labels(cube[dim]) for dim in cube.dims if dim in cube.coords}
    return {
        "type": _KIND,
        "name": None if cube.name is None else str(cube.name),
        "dimensions": [str(dim) for dim in cube.dims],
        "labels": labels,
        "temporal": [str(dim) for dim in cube.dims if is_temporal(cube[dim])],
        "crs": None if crs is None else crs.to_wkt(),
        "unit": cube.attrs.get("units"),
        "values": plain(cube.values),
    }


def _labels(coordinate: xr.DataArray) -> list[Any]:
    return instants(coordinate.values) if is_temporal(coordinate) else list(plain(coordinate.values))


def _read(path: Path, options: Options) -> Any:
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or document.get("type") != _KIND:
        return document
    cells = np.array(document["values"], dtype=object)
    with_gaps = cells.astype(np.float64) if _numbers(cells) else cells
    whole = all(isinstance(item, int) and not isinstance(item, bool) for item in cells.ravel())
    coords = {}
    for dim, labels in document["labels"].items():
        texts = [str(item).removesuffix("Z") for item in labels] if dim in document["temporal"] else labels
        coords[dim] = np.array(texts, "datetime64[ns]") if dim in document["temporal"] else np.array(labels)
    dims = document["dimensions"]
    cube = xr.DataArray(with_gaps.astype(np.int64) if whole else with_gaps, coords, dims, name=document["name"])
    cube = with_grid(cube, parsed_crs(document["crs"])) if document["crs"] else cube
    return cube.assign_attrs(units=document["unit"]) if document["unit"] is not None else cube


def _numbers(cells: np.ndarray[Any, Any]) -> bool:
    return all(
        item is None or (isinstance(item, (int, float)) and not isinstance(item, bool)) for item in cells.ravel()
    )


JSON = Format(
    name=_NAME,
    title="JSON",
    description=(
        "Numbers, texts, lists and objects as they are; a table as a list of rows; a cube of up to five million values "
        "as an object with dimensions, labels and nested values. Missing values are null."
    ),
    media_type="application/json",
    suffix=".json",
    kinds=("other", "table", "raster"),
    writer=_write,
    reader=_read,
    output_parameters={
        "indent": {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": 8,
            "default": None,
            "description": "Blanks per level; default everything on one line.",
        }
    },
)
