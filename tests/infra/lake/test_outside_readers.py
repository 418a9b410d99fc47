"""Other people's readers agree on what gemel writes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr

from gemel.infra.lake.formats import format_named

rasterio = pytest.importorskip("rasterio", reason="the extra [data] is not installed")
geopandas = pytest.importorskip("geopandas", reason="the extra [data] is not installed")


def test_netcdf_follows_cf(cube: xr.DataArray, tmp_path: Path) -> None:
    (path,) = format_named("netCDF").write(cube, tmp_path / "r.nc")
    with h5py.File(path) as file:
        assert file.attrs["Conventions"] == "CF-1.11"
        band, x, t = file["B03"], file["x"], file["t"]
        assert band.attrs["units"] == "W m-2"
        assert band.attrs["grid_mapping"] == "spatial_ref"
        assert np.isnan(band.attrs["_FillValue"]).all()
        assert band.compression == "gzip"
        assert file["spatial_ref"].attrs["grid_mapping_name"] == "transverse_mercator"
        assert "UTM zone 32N" in file["spatial_ref"].attrs["crs_wkt"]
        assert (x.attrs["axis"], x.attrs["standard_name"], x.attrs["units"]) == ("X", "projection_x_coordinate", "m")
        assert "_FillValue" not in x.attrs
        assert (t.attrs["axis"], t.attrs["units"], t.attrs["calendar"]) == (
            "T",
            "days since 1970-01-01",
            "proleptic_gregorian",
        )
        np.testing.assert_array_equal(band[()], cube.sel(bands="B03").values)


def test_gdal_reads_the_netcdf_with_its_place(cube: xr.DataArray, tmp_path: Path) -> None:
    (path,) = format_named("netCDF").write(cube, tmp_path / "r.nc")
    if "netCDF" not in rasterio.drivers.raster_driver_extensions().values():
        pytest.skip("this GDAL reads no NetCDF")
    with rasterio.open(f"netcdf:{path}:B02") as source:
        assert source.crs.to_epsg() == 32632
        assert source.bounds == (500_000, 5_000_000, 500_050, 5_000_040)
        np.testing.assert_array_equal(source.read(), cube.sel(bands="B02").values)


def test_zarr_is_version_3_with_named_dimensions(cube: xr.DataArray, tmp_path: Path) -> None:
    (path,) = format_named("Zarr").write(cube, tmp_path / "r.zarr.zip")
    with zarr.storage.ZipStore(path, mode="r") as store:
        group = zarr.open_group(store, mode="r")
        assert group.metadata.zarr_format == 3
        assert group["B02"].metadata.dimension_names == ("t", "y", "x")
        np.testing.assert_array_equal(group["B02"][:], cube.sel(bands="B02").values)


def test_a_cog_is_one_by_its_own_rules(tmp_path: Path) -> None:
    """Index in front of the tiles, tiles of one size, overviews until one tile is left (OGC 21-026)."""
    values = np.random.default_rng(0).normal(size=(1, 1300, 1100)).astype("float32")
    values[0, :5, :7] = np.nan
    big = xr.DataArray(
        values,
        {"bands": ["height"], "y": 1300.0 - np.arange(1300), "x": np.arange(1100.0)},
        ("bands", "y", "x"),
        attrs={"units": "m"},
    )
    big = big.assign_coords(spatial_ref=((), 0, {"crs_wkt": rasterio.crs.CRS.from_epsg(3035).to_wkt()}))
    (path,) = format_named("COG").write(big, tmp_path / "r.tif", {"blocksize": 256})
    with rasterio.open(path) as source:
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert source.block_shapes == [(256, 256)]
        assert source.overviews(1) == [2, 4, 8]
        assert (source.crs.to_epsg(), source.count, source.dtypes) == (3035, 1, ("float32",))
        assert np.isnan(source.nodata)
        assert (source.descriptions, source.units) == (("height",), ("m",))
        assert source.bounds == (-0.5, 0.5, 1099.5, 1300.5)
        np.testing.assert_array_equal(source.read(), values)
    assert first_tile_offset(path) > last_directory_offset(path)


def directories(path: Path) -> list[tuple[int, dict[int, tuple[int, int, bytes]]]]:
    """Return offset and entries of each image file directory of a classic little-endian TIFF (TIFF 6.0, section 2)."""
    content, found = path.read_bytes(), []
    assert content[:4] == b"II*\0"
    (offset,) = struct.unpack("<I", content[4:8])
    while offset:
        (count,) = struct.unpack("<H", content[offset : offset + 2])
        entries = {}
        for i in range(count):
            begin = offset + 2 + 12 * i
            tag, kind, length = struct.unpack("<HHI", content[begin : begin + 8])
            entries[tag] = (kind, length, content[begin + 8 : begin + 12])
        found.append((offset, entries))
        (offset,) = struct.unpack("<I", content[offset + 2 + 12 * count : offset + 6 + 12 * count])
    return found


def last_directory_offset(path: Path) -> int:
    return max(offset for offset, _ in directories(path))


def first_tile_offset(path: Path) -> int:
    content, offsets = path.read_bytes(), []
    for _, entries in directories(path):
        kind, length, raw = entries[324]  # TileOffsets
        (where,) = struct.unpack("<I", raw)
        assert kind == 4
        offsets += [where] if length == 1 else list(struct.unpack(f"<{length}I", content[where : where + 4 * length]))
    return min(offset for offset in offsets if offset)


def test_one_geotiff_per_instant_named_after_it(cube: xr.DataArray, tmp_path: Path) -> None:
    hourly = cube.assign_coords(t=np.array(["2020-01-01T00:00", "2020-01-01T06:30"], "M8[ns]"))
    files = format_named("GTiff").write(hourly, tmp_path / "r.tif")
    assert [path.name for path in files] == ["r_2020-01-01T000000Z.tif", "r_2020-01-01T063000Z.tif"]
    for path, (_, part) in zip(files, hourly.groupby("t"), strict=True):
        with rasterio.open(path) as source:
            np.testing.assert_array_equal(source.read(), part.squeeze("t").values)
            assert source.descriptions == ("B02", "B03", "B04")
            assert source.units == ("W m-2",) * 3


def test_whole_numbers_with_a_number_for_missing(cube: xr.DataArray, tmp_path: Path) -> None:
    gaps = cube.isel(t=0).where(cube.isel(t=0) != 3)
    (path,) = format_named("GTiff").write(gaps, tmp_path / "r.tif", {"dtype": "int16", "nodata": -9999})
    with rasterio.open(path) as source:
        assert (source.nodata, source.dtypes[0]) == (-9999, "int16")
        assert source.read(1)[0, 3] == -9999
    np.testing.assert_array_equal(format_named("GTiff").read(path).values, gaps.drop_vars("t").values)


def test_png_is_grey_or_colour_with_transparent_gaps(cube: xr.DataArray, tmp_path: Path) -> None:
    from_zero = cube.isel(t=[0]).where(cube.isel(t=[0]) > 0)
    (path,) = format_named("PNG").write(from_zero, tmp_path / "r.png", {"scale": [0, 59]})
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as source:
        assert (source.driver, source.count, source.dtypes[0]) == ("PNG", 4, "uint8")
        picture = source.read()
    assert picture[3, 0, 0] == 0 and (picture[3].ravel()[1:] == 255).all()
    assert (picture[0, 0, 0], picture[2, 3, 4]) == (0, 255)
    # 20 of 59 is 86.44 of 255.
    assert picture[1, 0, 0] == 86
    assert sorted(item.name for item in tmp_path.iterdir()) == ["r.png"]


def test_bytes_stay_as_they_are_in_png(tmp_path: Path) -> None:
    grey = xr.DataArray(np.arange(12, dtype="uint8").reshape(3, 4), {"y": [3.0, 2, 1], "x": [1.0, 2, 3, 4]}, ("y", "x"))
    (path,) = format_named("PNG").write(grey, tmp_path / "r.png")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as source:
        np.testing.assert_array_equal(source.read(1), grey.values)


def test_geopandas_reads_the_vector_files(tmp_path: Path) -> None:
    shapely = pytest.importorskip("shapely")
    pytest.importorskip("xvec")
    shapes = np.empty(2, dtype=object)
    shapes[:] = [shapely.Point(9.0, 45.0), shapely.Point(10.0, 46.0)]
    cube = xr.DataArray([[1.0, 2.0], [3.0, np.nan]], {"bands": ["a", "b"]}, ("geometry", "bands"))
    cube = cube.assign_coords(geometry=shapes, place=("geometry", ["Como", "Chiavenna"]))
    cube = cube.xvec.set_geom_indexes("geometry", crs=4326)
    for name, read in (
        ("GeoJSON", geopandas.read_file),
        ("GPKG", geopandas.read_file),
        ("Parquet", geopandas.read_parquet),
    ):
        (path,) = format_named(name).write(cube, tmp_path / f"r{format_named(name).suffix}")
        frame = read(path)
        assert frame.crs.to_epsg() == 4326
        assert frame["place"].tolist() == ["Como", "Chiavenna"]
        assert frame["a"].tolist() == [1.0, 3.0] and np.isnan(frame["b"].iloc[1])
        assert frame.geometry.iloc[1].equals(shapes[1])


def test_geojson_is_longitude_latitude_without_a_crs_member(tmp_path: Path) -> None:
    shapely = pytest.importorskip("shapely")
    pytest.importorskip("xvec")
    shapes = np.empty(1, dtype=object)
    shapes[:] = [shapely.Point(500_000.0, 5_000_000.0)]
    cube = xr.DataArray([1.0], dims=("geometry",)).assign_coords(geometry=shapes)
    cube = cube.xvec.set_geom_indexes("geometry", crs=32632)
    (path,) = format_named("GeoJSON").write(cube, tmp_path / "r.geojson")
    document = json.loads(path.read_text())
    assert "crs" not in document
    lon, lat = document["features"][0]["geometry"]["coordinates"]
    # The central meridian of zone 32 is 9 degrees east; its point at 5000 km north lies at 45.15 degrees.
    assert lon == pytest.approx(9.0, abs=1e-9)
    assert lat == pytest.approx(45.153, abs=1e-3)


def test_coveragejson_follows_the_standard(cube: xr.DataArray, tmp_path: Path) -> None:
    models = pytest.importorskip("covjson_pydantic.coverage", reason="covjson-pydantic is not installed")
    gaps = cube.where(cube != 7)
    (path,) = format_named("CoverageJSON").write(gaps, tmp_path / "r.covjson")
    text = path.read_text()
    coverage = models.Coverage.model_validate_json(text)
    assert coverage.domain.domainType.value == "Grid"
    document = json.loads(text)
    assert document["domain"]["axes"]["t"]["values"] == ["2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"]
    ids = [item["system"].get("id") for item in document["domain"]["referencing"]]
    assert ids[0] == "http://www.opengis.net/def/crs/EPSG/0/32632"
    assert document["parameters"]["B03"]["unit"]["symbol"]["value"] == "W.m-2"
    assert document["ranges"]["B02"]["shape"] == [2, 4, 5]
    assert document["ranges"]["B02"]["values"][6:8] == [6.0, None]


def test_a_series_at_a_place_is_a_point_series(cube: xr.DataArray, tmp_path: Path) -> None:
    models = pytest.importorskip("covjson_pydantic.coverage", reason="covjson-pydantic is not installed")
    (path,) = format_named("CoverageJSON").write(cube.isel(x=2, y=1), tmp_path / "r.covjson")
    coverage = models.Coverage.model_validate_json(path.read_text())
    assert coverage.domain.domainType.value == "PointSeries"
    assert coverage.domain.axes.x.values == [500_025.0]
    assert coverage.ranges["B02"].values == [7.0, 67.0]


def test_points_are_a_collection_of_point_series(tmp_path: Path) -> None:
    models = pytest.importorskip("covjson_pydantic.coverage", reason="covjson-pydantic is not installed")
    shapely = pytest.importorskip("shapely")
    pytest.importorskip("xvec")
    shapes = np.empty(2, dtype=object)
    shapes[:] = [shapely.Point(9.0, 45.0), shapely.Point(10.0, 46.0)]
    times = np.array(["2020-01-01", "2020-01-02"], "M8[ns]")
    cube = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], {"t": times}, ("geometry", "t"), name="rain", attrs={"units": "mm"})
    cube = cube.assign_coords(geometry=shapes).xvec.set_geom_indexes("geometry", crs=4326)
    (path,) = format_named("CoverageJSON").write(cube, tmp_path / "r.covjson")
    collection = models.CoverageCollection.model_validate_json(path.read_text())
    assert [item.domain.axes.y.values for item in collection.coverages] == [[45.0], [46.0]]
    assert collection.coverages[1].ranges["rain"].values == [3.0, 4.0]
    document = json.loads(path.read_text())
    assert document["coverages"][0]["domain"]["referencing"][0]["system"]["id"].endswith("OGC/1.3/CRS84")
