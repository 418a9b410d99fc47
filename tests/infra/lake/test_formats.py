"""What is written can be read again and is the same: cells, labels, order, units, reference system, missing cells."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.infra.lake._axes import crs_of, parsed_crs, same_crs, with_grid
from gemel.infra.lake._lazy import joined
from gemel.infra.lake.formats import format_named, format_of_file, formats

pytest.importorskip("rasterio", reason="the extra [data] is not installed")
pytest.importorskip("xvec", reason="the extra [data] is not installed")

_EPSG = st.sampled_from([4326, 32632, 3035, 3857])
_STARTS = st.sampled_from(["1969-12-31T23:59:59", "2000-02-29", "2020-01-01T12:30:00.250", "1850-01-01"])


@st.composite
def cubes(draw: Any, dtypes: tuple[str, ...], missing: bool = True) -> xr.DataArray:
    """Cubes of any order of dimensions, on a regular grid somewhere, with or without time and bands."""
    sizes = {name: draw(st.integers(1, 3)) for name in draw(st.sets(st.sampled_from(["t", "bands"])))}
    sizes |= {"y": draw(st.integers(2, 4)), "x": draw(st.integers(2, 5))}
    dims = draw(st.permutations(sorted(sizes)))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = tuple(sizes[dim] for dim in dims)
    if dtype.kind == "f":
        elements = st.floats(width=32, allow_nan=missing, allow_infinity=False)
    elif dtype.kind == "b":
        elements = st.booleans()
    else:
        info = np.iinfo(dtype)
        elements = st.integers(int(info.min), int(info.max))
    step = draw(st.sampled_from([0.25, 1.0, 10.0, 30.0]))
    coords: dict[str, Any] = {
        "x": draw(st.integers(-100, 100)) + step * np.arange(sizes["x"]),
        "y": (draw(st.integers(-20, 20)) - step * np.arange(sizes["y"])),
    }
    if "t" in sizes:
        unit = draw(st.sampled_from(["D", "h", "s"]))
        coords["t"] = np.datetime64(draw(_STARTS), "ns") + np.arange(sizes["t"]) * np.timedelta64(1, unit)
    if "bands" in sizes:
        coords["bands"] = draw(st.permutations(["B02", "temperature", "x y ä"]))[: sizes["bands"]]
    values = draw(arrays.arrays(dtype, shape, elements=elements))
    name = draw(st.sampled_from([None, "rain", "t"]))
    attrs = draw(st.sampled_from([{}, {"units": "mm d-1"}, {"units": "K", "long_name": "warmth"}]))
    cube = xr.DataArray(values, coords, dims, name=name, attrs=attrs)
    return with_grid(cube, parsed_crs(draw(_EPSG)))


_NUMBERS = ("float32", "float64", "int16", "uint8", "int64", "bool")


@pytest.mark.parametrize("name", ["netCDF", "Zarr"])
@hypothesis.given(cube=cubes(_NUMBERS))
def test_array_files_give_back_what_was_written(name: str, cube: xr.DataArray) -> None:
    found = written_and_read(name, cube)
    xr.testing.assert_identical(found.load().drop_vars("spatial_ref"), cube.drop_vars("spatial_ref"))
    assert found.dtype == cube.dtype
    assert same_crs(crs_of(found), crs_of(cube))


@pytest.mark.parametrize("name", ["GTiff", "COG"])
@hypothesis.settings(max_examples=25)
@hypothesis.given(cube=cubes(_NUMBERS))
def test_pictures_on_the_earth_give_back_what_was_written(name: str, cube: xr.DataArray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = format_named(name).write(cube, Path(folder) / "result.tif")
        parts = [format_named(name).read(path) for path in files]
        found = joined(parts, "t").load() if "t" in cube.dims else parts[0].load()
    # Edges of cells are kept, so that centres come back with the rounding of one addition.
    xr.testing.assert_allclose(found.drop_vars("spatial_ref"), cube.drop_vars("spatial_ref"), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found.values, cube.values)
    assert (found.dims, found.dtype, found.name) == (cube.dims, cube.dtype, cube.name)
    assert found.attrs == cube.attrs
    assert same_crs(crs_of(found), crs_of(cube))


@pytest.mark.parametrize("name", ["CoverageJSON", "JSON", "Parquet"])
@hypothesis.settings(max_examples=25)
@hypothesis.given(cube=cubes(("float32", "float64", "int16")))
def test_texts_and_tables_give_back_cells_and_labels(name: str, cube: xr.DataArray) -> None:
    hypothesis.assume(cube.name != "t")
    found = written_and_read(name, cube)
    if name == "CoverageJSON" and "bands" in cube.dims and "bands" not in found.dims:
        found = found.expand_dims("bands").assign_coords(bands=[found.name])  # one band is one parameter
    found = found.transpose(*cube.dims)
    # Texts know one kind of number; a float32 is written with as many digits as tell it from its neighbours.
    np.testing.assert_array_equal(found.values.astype(cube.dtype), cube.values)
    for dim in cube.dims:
        np.testing.assert_array_equal(found[dim].values, cube[dim].values)
    assert found.attrs.get("units") == cube.attrs.get("units")
    assert same_crs(crs_of(found), crs_of(cube))


def written_and_read(name: str, value: Any, **options: Any) -> Any:
    format = format_named(name)
    with tempfile.TemporaryDirectory() as folder:
        (path,) = format.write(value, Path(folder) / f"result{format.suffix}", options)
        assert format_of_file(path) is format
        found = format.read(path)
        return found.load() if isinstance(found, xr.DataArray) else found


@pytest.mark.parametrize("name", ["netCDF", "Zarr", "GTiff", "COG", "CSV", "Parquet", "CoverageJSON", "JSON", "PNG"])
def test_the_same_cube_gives_the_same_bytes(name: str, cube: xr.DataArray, tmp_path: Path) -> None:
    format = format_named(name)
    digests = []
    for attempt in ("a", "b"):
        (tmp_path / attempt).mkdir()
        files = format.write(cube, tmp_path / attempt / f"result{format.suffix}")
        digests.append([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", ["netCDF", "Zarr"])
def test_each_band_keeps_its_own_unit(name: str, cube: xr.DataArray) -> None:
    mixed = cube.assign_coords(units=("bands", ["mm", "K", ""])).drop_attrs(deep=False)
    assert written_and_read(name, mixed)["units"].values.tolist() == ["mm", "K", ""]


@pytest.mark.parametrize("name", ["netCDF", "Zarr"])
@pytest.mark.parametrize("labels", [[1, 2, 3], ["a/b", "c", "d"], ["t", "c", "d"]])
def test_bands_that_cannot_be_names_stay_a_dimension(name: str, labels: list[Any], cube: xr.DataArray) -> None:
    odd = cube.assign_coords(bands=labels)
    xr.testing.assert_equal(written_and_read(name, odd), odd)


@pytest.mark.parametrize("name", ["netCDF", "Zarr"])
def test_further_dimensions_and_other_calendars_are_kept(name: str) -> None:
    times = xr.date_range("2000-02-28", periods=3, calendar="360_day", use_cftime=True)
    ensemble = xr.DataArray(
        np.random.default_rng(1).normal(size=(3, 2, 2)),
        {"time": times, "realization": [0, 1], "quantile": [0.05, 0.95]},
        ("time", "realization", "quantile"),
        attrs={"units": "m3 s-1", "standard_name": "water_volume_transport_in_river_channel"},
        name="discharge",
    )
    found = written_and_read(name, ensemble)
    xr.testing.assert_equal(found, ensemble)
    assert found.attrs == ensemble.attrs


@pytest.mark.parametrize("name", ["netCDF", "Zarr"])
def test_instants_of_every_resolution_are_exact(name: str) -> None:
    times = np.array(["2020-01-01T00:00:00.123456789", "2261-12-31T23:59:59", "1680-01-01"], "M8[ns]")
    cube = xr.DataArray([1.0, 2.0, 3.0], {"t": times}, ("t",))
    np.testing.assert_array_equal(written_and_read(name, cube)["t"].values, times)


def test_texts_as_cells_are_kept() -> None:
    cube = xr.DataArray(
        np.array([["a", "bc"], ["", "ü"]]), {"x": [1.0, 2.0], "y": [3.0, 4.0]}, ("y", "x"), name="class"
    )
    for name in ("netCDF", "Zarr"):
        assert written_and_read(name, cube).values.tolist() == cube.values.tolist()


@pytest.mark.parametrize("name", ["GeoJSON", "GPKG", "Parquet", "netCDF"])
@pytest.mark.parametrize("epsg", [4326, 32632])
def test_vector_cubes_are_kept(name: str, epsg: int) -> None:
    cube = regions_cube(epsg)
    found = written_and_read(name, cube)
    assert found.dims == cube.dims
    np.testing.assert_array_equal(found.values, cube.values)
    np.testing.assert_array_equal(found["t"].values, cube["t"].values)
    assert same_crs(crs_of(found), crs_of(cube))
    # GeoJSON goes through degrees of nine digits (a tenth of a millimetre) and back.
    tolerance = 1e-3 if name == "GeoJSON" else 0.0
    for one, other in zip(found["geometry"].values, cube["geometry"].values, strict=True):
        assert shapely.hausdorff_distance(one, other) <= tolerance


def test_two_equal_geometries_stay_two() -> None:
    shape = shapely.box(0, 0, 1, 1)
    cube = xr.DataArray([[1.0], [2.0]], dims=("geometry", "t"))
    shapes = np.empty(2, dtype=object)
    shapes[:] = [shape, shape]
    cube = cube.assign_coords(geometry=shapes, t=np.array(["2020-01-01"], "M8[ns]")).xvec.set_geom_indexes(
        "geometry", crs=4326
    )
    for name in ("GeoJSON", "GPKG", "Parquet"):
        assert written_and_read(name, cube).values.tolist() == [[1.0], [2.0]]


def regions_cube(epsg: int) -> xr.DataArray:
    """Return a vector cube of two polygons, three days and two bands."""
    east, north, size = (500_000.0, 5_000_000.0, 1000.0) if epsg == 32632 else (9.0, 45.0, 0.5)
    shapes = np.empty(2, dtype=object)
    shapes[:] = [shapely.box(east + i * size, north, east + (i + 1) * size, north + size) for i in range(2)]
    times = np.array(["2020-01-01", "2020-01-02", "2020-01-03T06:00"], "M8[ns]")
    values = np.arange(12.0).reshape(2, 3, 2)
    values[0, 1, 0] = np.nan
    cube = xr.DataArray(values, {"t": times, "bands": ["a", "b"]}, ("geometry", "t", "bands"), attrs={"units": "m"})
    return cube.assign_coords(geometry=shapes).xvec.set_geom_indexes("geometry", crs=epsg)


def test_a_table_is_kept_by_csv_and_parquet() -> None:
    table = pd.DataFrame({"name": ["a", "b"], "value": [1.5, float("nan")], "count": [1, 2]})
    for name in ("CSV", "Parquet"):
        pd.testing.assert_frame_equal(written_and_read(name, table), table, check_dtype=name == "Parquet")
    assert written_and_read("JSON", table) == [
        {"name": "a", "value": 1.5, "count": 1},
        {"name": "b", "value": None, "count": 2},
    ]


@pytest.mark.parametrize("value", [1, 2.5, "text", None, True, [1, None, "a"], {"a": [1, {"b": 2}]}])
def test_plain_values_are_kept_by_json(value: Any) -> None:
    assert written_and_read("JSON", value) == value


def test_csv_has_one_row_per_cell_and_one_column_per_band(cube: xr.DataArray) -> None:
    table = written_and_read("CSV", cube)
    assert list(table.columns) == ["t", "y", "x", "B02", "B03", "B04"]
    assert len(table) == 2 * 4 * 5
    assert table.iloc[5].tolist() == ["2020-01-01", 5_000_025.0, 500_005.0, 5.0, 25.0, 45.0]


def test_formats_are_found_in_any_case_and_by_their_other_names() -> None:
    names = {"netcdf": "netCDF", "NETCDF": "netCDF", "gtiff": "GTiff", "GeoTIFF": "GTiff", "gpkg": "GPKG"}
    assert {name: format_named(name).name for name in names} == names
    with pytest.raises(InvalidInput, match="no such format") as caught:
        format_named("netCFD")
    assert "netCDF" in str(caught.value.hint)


def test_every_format_describes_itself_and_its_parameters() -> None:
    for format in formats().values():
        assert format.title and format.description.endswith(".") and "/" in format.media_type
        assert format.reader or format.writer
        for schema in (*format.output_parameters.values(), *format.input_parameters.values()):
            assert {"type", "default", "description"} <= set(schema)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"complvel": 3}, "no option 'complvel'"),
        ({"complevel": 12}, "more than 9"),
        ({"complevel": True}, "not of the type integer"),
        ({"chunks": 7}, "not of the type object"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str, cube: xr.DataArray, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        format_named("netCDF").write(cube, tmp_path / "result.nc", options)
    assert list(tmp_path.iterdir()) == []


def test_chunks_can_be_chosen(cube: xr.DataArray) -> None:
    for name in ("netCDF", "Zarr"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"result{format_named(name).suffix}"
            format_named(name).write(cube, path, {"chunks": {"x": 2, "y": 3, "t": 1}})
            found = format_named(name).read(path)
            assert {dim: found.encoding["preferred_chunks"][dim] for dim in ("t", "y", "x")} == {"t": 1, "y": 3, "x": 2}


def test_rows_from_south_to_north_become_north_up(cube: xr.DataArray) -> None:
    turned = cube.isel(y=slice(None, None, -1), x=slice(None, None, -1))
    with tempfile.TemporaryDirectory() as folder:
        files = format_named("GTiff").write(turned, Path(folder) / "r.tif")
        found = format_named("GTiff").read(files[0]).load()
    xr.testing.assert_allclose(found, cube.isel(t=[0]))
