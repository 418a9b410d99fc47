"""A collection as one cube: its one file, or its items' files put together; nothing is read until it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.infra.lake._axes import bands_dim, parsed_crs, time_dim, x_dim, y_dim
from gemel.infra.lake._extent import Area, Interval
from gemel.infra.lake._grid import grid_from_transform
from gemel.infra.lake._lazy import joined, stacked
from gemel.infra.lake._places import Place
from gemel.infra.lake._rasters import cell_type, grid_of_source, open_raster, raster_cube
from gemel.infra.lake._select import chosen_bands, in_order, no_data, with_bands, within_area, within_interval
from gemel.infra.lake.collections._assets import (
    RASTERS,
    Asset,
    Document,
    band_facts,
    band_order,
    common_names,
    data_assets,
    dimension_names,
    span_of,
    time_of,
)
from gemel.infra.lake.collections._mosaic import Source, mosaic, target_grid
from gemel.infra.lake.formats import format_named
from gemel.infra.lake.formats._values import with_band_units

Locator = Callable[[str, Document], Place]
Opener = Callable[[Place, str, list[str] | None], Any]
_ROLES = {"t": "t", "bands": "bands", "y": "y", "x": "x"}


@dataclass(frozen=True)
class Wanted:
    """Which part of a collection is opened.

    Attributes:
        area: Cells whose centres lie in it, or None for all.
        interval: Instants in it, or None for all.
        bands: Names or common names, in order; None for all.
        resampling: How raster files on different grids are sampled, by GDAL's name.
    """

    area: Area | None = None
    interval: Interval | None = None
    bands: Sequence[str] | None = None
    resampling: str = "nearest"

    def meets(self, item: Document) -> bool:
        """Return whether a STAC Item may hold some of it."""
        if self.interval is not None and not self.interval.holds(*span_of(item)):
            return False
        box = item.get("bbox")
        if self.area is None or not box or len(box) not in (4, 6) or self.area.across:
            return True
        west, south, east, north = self.area.lonlat()
        low_x, low_y, high_x, high_y = (*box[:2], *box[3:5]) if len(box) == 6 else box
        return bool(low_x <= east and high_x >= west and low_y <= north and high_y >= south)

    def of(self, cube: xr.DataArray, documents: Sequence[Document]) -> xr.DataArray:
        """Return this part of a cube that `documents` describe."""
        banded = _with_facts(with_bands(cube, self.bands, common_names(documents)), documents)
        return within_area(in_order(within_interval(banded, self.interval)), self.area)


def open_collection(
    collection: Document,
    items: Iterable[Document],
    *,
    locate: Locator,
    wanted: Wanted | None = None,
    opener: Opener | None = None,
) -> xr.DataArray:
    """Return the cube of a STAC collection, restricted to extents and bands, read when asked for.

    Args:
        collection: The STAC Collection, or an empty mapping for items on their own.
        items: Its STAC Items; looked at only when the collection itself has no data assets.
        locate: Returns where an asset's reference leads, from the reference and the document it stands in.
        wanted: Which part of it; default the whole.
        opener: Returns what is in a file that is no plain raster, from its place, its format and the names of
            variables; default opens local files.

    Raises:
        InvalidInput: There is no data for the extents (`context["exception"]` is `NoDataAvailable`), a band is unknown,
            or the files do not make one cube.
    """
    part, opened = wanted or Wanted(), opener or open_file
    own = data_assets(collection)
    if own:
        return part.of(_renamed(_of_assets(own, collection, locate, opened), collection), [collection])
    chosen = [item for item in items if part.meets(item)]
    if not chosen:
        raise no_data("no item of the collection meets them")
    chosen.sort(key=lambda item: (time_of(item), str(item.get("id"))))
    found = [(item, asset) for item in chosen for asset in data_assets(item, collection)]
    if not found:
        raise no_data("no item has an asset with data in a known format")
    if all(asset.kind in RASTERS for _, asset in found):
        return _of_rasters(found, collection, locate, part)
    cubes = [_of_item(item, collection, locate, opened) for item in chosen if data_assets(item, collection)]
    return part.of(_combined(cubes), [collection, *chosen])


def open_file(place: Place, kind: str, variables: list[str] | None) -> Any:
    """Return what is in a local file of the format `kind`.

    Raises:
        InvalidInput: The place is on the web, or the file is broken.
    """
    if kind in RASTERS:
        with open_raster(place.address, place.path, kind) as source:
            return raster_cube(source, place.address)
    if place.remote:
        raise InvalidInput(f"'{place.address}' is on the web, where {kind} is not read directly.")
    format = format_named(kind)
    options = {"variables": variables} if variables is not None and "variables" in format.input_parameters else {}
    return format.read(Path(place.address), options)


def _of_assets(assets: Sequence[Asset], holder: Document, locate: Locator, opener: Opener) -> xr.DataArray:
    cubes = [_of_asset(asset, holder, locate, opener) for asset in assets]
    if len(cubes) == 1:
        return cubes[0]
    return _side_by_side(cubes, [asset.key for asset in assets])


def _of_asset(asset: Asset, holder: Document, locate: Locator, opener: Opener) -> xr.DataArray:
    known = _variables(asset, holder)
    cube = opener(locate(asset.href, holder), asset.kind, known)
    if not isinstance(cube, xr.DataArray):
        raise InvalidInput(f"The asset '{asset.key}' holds a table, which is no data cube.")
    return cube


def _variables(asset: Asset, holder: Document) -> list[str] | None:
    """Return the names of the variables that documents say are the bands, or None for all in the file."""
    listed = asset.document.get("bands") or holder.get("bands") or []
    names = [str(band["name"]) for band in listed if band.get("name")]
    described = holder.get("cube:variables") or asset.document.get("cube:variables") or {}
    data = [str(name) for name, item in described.items() if item.get("type", "data") == "data"]
    found = data or names
    return [name for name in names if name in found] or data or None if asset.kind in ("netCDF", "Zarr") else None


def _with_facts(cube: xr.DataArray, documents: Sequence[Document]) -> xr.DataArray:
    """Return the cube with common names and wavelengths beside its bands, where documents state them."""
    dim, facts = bands_dim(cube), band_facts(documents)
    if dim is None:
        return cube
    known = [facts.get(str(name), ("", None)) for name in cube[dim].values]
    encoding = cube.encoding
    if any(common for common, _ in known):
        cube = cube.assign_coords(common_name=(dim, np.array([common for common, _ in known])))
    if any(wave is not None for _, wave in known):
        waves = np.array([np.nan if wave is None else wave for _, wave in known])
        cube = cube.assign_coords(center_wavelength=(dim, waves, {"units": "um"}))
    cube.encoding = encoding
    return cube


def _side_by_side(cubes: Sequence[xr.DataArray], keys: Sequence[str]) -> xr.DataArray:
    dim = bands_dim(cubes[0])
    if dim is not None:
        return joined(cubes, dim)
    names = [str(cube.name) if cube.name is not None else key for cube, key in zip(cubes, keys, strict=True)]
    units = [str(cube.attrs.get("units", "")) for cube in cubes]
    position = 1 if cubes[0].dims[:1] == (time_dim(cubes[0]),) else 0
    return with_band_units(stacked(list(cubes), "bands", names, position), "bands", units)


def _of_item(item: Document, collection: Document, locate: Locator, opener: Opener) -> xr.DataArray:
    cube = _renamed(_of_assets(data_assets(item, collection), item, locate, opener), collection)
    if time_dim(cube) is None and dimension_names(collection).get("t", "t") not in cube.dims:
        name = dimension_names(collection).get("t", "t")
        cube = stacked([cube.drop_vars(name, errors="ignore")], name, [time_of(item)], 0)
    return cube


def _combined(cubes: Sequence[xr.DataArray]) -> xr.DataArray:
    first = cubes[0]
    dim = time_dim(first)
    if dim is None or len(cubes) == 1:
        if len(cubes) > 1:
            raise InvalidInput("The items' files have no time along which to put them together.")
        return first
    ordered = sorted(cubes, key=lambda cube: cube[dim].values[0])
    found = joined(ordered, dim)
    labels = found[dim].values
    if len(set(labels.tolist())) < len(labels):
        raise InvalidInput("Several items hold the same instants.", hint="Load a smaller spatial extent.")
    return found


def _renamed(cube: xr.DataArray, collection: Document) -> xr.DataArray:
    """Return the cube with the names of dimensions that `cube:dimensions` gives."""
    wanted = dimension_names(collection)
    roles = {"x": x_dim(cube), "y": y_dim(cube), "t": time_dim(cube), "bands": bands_dim(cube)}
    changes = {
        old: wanted[role]
        for role, old in roles.items()
        if old is not None and role in wanted and wanted[role] != old and wanted[role] not in cube.dims
    }
    encoding = cube.encoding
    found = cube.rename(changes) if changes else cube
    found.encoding = encoding
    return found


def _of_rasters(
    found: Sequence[tuple[Document, Asset]], collection: Document, locate: Locator, part: Wanted
) -> xr.DataArray:
    known = list(dict.fromkeys(band.name for _, asset in found for band in asset.bands))
    order = [name for name in band_order(collection) if name in known]
    ordered = [*order, *(name for name in known if name not in order)]
    names = chosen_bands(part.bands, ordered, common_names([collection, *(item for item, _ in found)]))
    step = _time_step(collection)
    sources = [
        _source(item, asset, locate, step)
        for item, asset in found
        if any(band.name in names for band in asset.bands)
        and (part.interval is None or part.interval.holds(time_of(item, asset.document)))
    ]
    if not sources:
        raise no_data("no file of the collection meets them")
    grid = target_grid(sources, part.area, _declared(collection))
    cube = mosaic(sources, names, grid, _ROLES | dimension_names(collection), part.resampling)
    units = {band.name: band.unit for _, asset in found for band in asset.bands}
    cube = with_band_units(cube, str(cube.dims[1]), [units.get(name, "") for name in names])
    cube = _with_facts(cube, [collection, *(item for item, _ in found)])
    # Cells were chosen on the grid; what remains of the area are its polygons.
    return within_area(cube, part.area) if part.area is not None and part.area.shape is not None else cube


def _source(item: Document, asset: Asset, locate: Locator, step: str | None) -> Source:
    place = locate(asset.href, item)
    time = time_of(item, asset.document)
    time = time.astype(f"M8[{step}]").astype("M8[ns]") if step else time
    bands = {band.name: band.position for band in asset.bands}
    properties = item.get("properties") or {}
    known = {**properties, **asset.document}
    transform, shape = known.get("proj:transform"), known.get("proj:shape")
    code = known.get("proj:code") or known.get("proj:epsg") or known.get("proj:wkt2")
    kind = _cell_kind(asset)
    if transform and shape and code and kind is not None:
        grid = grid_from_transform(transform, shape[1], shape[0], parsed_crs(code))
        if grid is not None:
            return Source(place, asset.kind, time, bands, grid, kind)
    with open_raster(place.address, place.path, asset.kind) as opened:
        own, dtype = grid_of_source(opened), cell_type(opened)
    if own is None:
        raise InvalidInput(f"'{place.path.name}' is rotated or not placed on a grid.", hint="Warp it first.")
    return Source(place, asset.kind, time, bands, own, dtype)


def _cell_kind(asset: Asset) -> np.dtype[Any] | None:
    """Return the type of an asset's cells where its document states it, with NaN for missing ones."""
    listed = [*(asset.document.get("bands") or []), *(asset.document.get("raster:bands") or [])]
    shared = asset.document.get("data_type")
    types = {str(band.get("data_type") or shared or "") for band in listed} or {str(shared or "")}
    if len(types) != 1:
        return None
    name = types.pop()
    if name not in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"):
        return None
    gaps = asset.document.get("nodata") is not None or any(band.get("nodata") is not None for band in listed)
    return np.result_type(np.dtype(name), np.float32) if gaps else np.dtype(name)


def _declared(collection: Document) -> dict[str, Any]:
    """Return the reference system and step that a collection's horizontal dimensions declare."""
    found: dict[str, Any] = {}
    steps: dict[str, float] = {}
    for dimension in (collection.get("cube:dimensions") or {}).values():
        if dimension.get("type") != "spatial" or dimension.get("axis") not in ("x", "y"):
            continue
        if dimension.get("reference_system") is not None:
            found["crs"] = parsed_crs(dimension["reference_system"])
        if isinstance(dimension.get("step"), (int, float)) and dimension["step"]:
            steps[dimension["axis"]] = abs(float(dimension["step"]))
    if len(steps) == 2:
        found["step"] = (steps["x"], steps["y"])
    return found


def _time_step(collection: Document) -> str | None:
    """Return numpy's unit of a collection's regular time step of one day, month or year; None for another or none."""
    for dimension in (collection.get("cube:dimensions") or {}).values():
        if dimension.get("type") == "temporal":
            return {"P1D": "D", "P1M": "M", "P1Y": "Y"}.get(str(dimension.get("step")))
    return None
