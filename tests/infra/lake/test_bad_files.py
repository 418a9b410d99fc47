"""Broken and lying files get one clear error; what cannot be written leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import resource
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import h5py
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from gemel.base.errors import InvalidInput, StoreFull
from gemel.infra.lake._lazy import lazy_cube, lazy_variable
from gemel.infra.lake.formats import format_named

rasterio = pytest.importorskip("rasterio", reason="the extra [data] is not installed")

_FILES = {"netCDF": "r.nc", "Zarr": "r.zarr.zip", "GTiff": "r.tif", "Parquet": "r.parquet", "CoverageJSON": "r.covjson"}


@pytest.mark.parametrize("name", _FILES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_is_cut_off_is_named(name: str, share: float, cube: xr.DataArray, tmp_path: Path) -> None:
    whole = cube.isel(t=[0]) if name == "GTiff" else cube
    big = xr.concat([whole] * 8, dim="x").assign_coords(x=whole.x.values[0] + 10.0 * np.arange(40))
    (path,) = format_named(name).write(big, tmp_path / _FILES[name])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InvalidInput, match=path.name) as caught:
        format_named(name).read(path).load()
    assert caught.value.context["exception"] == "FormatUnsuitable"
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("name", ["netCDF", "Zarr", "GTiff", "Parquet", "GPKG", "GeoJSON", "CoverageJSON", "GRIB"])
@hypothesis.settings(max_examples=20, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(content=st.binary(max_size=400))
def test_noise_is_refused_and_never_crashes(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"noise{format_named(name).suffix}"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="noise"):
        format_named(name).read(path)


@pytest.mark.parametrize("name", ["netCDF", "Zarr", "GTiff", "Parquet"])
@hypothesis.settings(max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_bytes_are_refused_or_read(
    name: str, places: list[tuple[float, int]], cube: xr.DataArray, tmp_path: Path
) -> None:
    """A flipped byte among the cells cannot be noticed by every format; whatever happens, it is a value or a clear error."""
    (path,) = format_named(name).write(cube.isel(t=[0]), tmp_path / _FILES[name])
    content = bytearray(path.read_bytes())
    for share, value in places:
        content[int(share * (len(content) - 1))] = value
    path.write_bytes(bytes(content))
    try:
        found = format_named(name).read(path)
    except InvalidInput as error:
        assert path.name in error.message
    else:
        assert isinstance(found, (xr.DataArray, pd.DataFrame))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'r.nc' cannot be read as netCDF: there is no such file"):
        format_named("netCDF").read(tmp_path / "r.nc")


def lying_tiff(path: Path, width: int, height: int) -> None:
    """Write a GeoTIFF of 8 x 8 cells and make its header speak of more (tags 256 and 257 of TIFF 6.0)."""
    options = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "float32", "crs": 32632}
    with rasterio.open(path, "w", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **options) as file:
        file.write(np.ones((1, 8, 8), "float32"))
    content = bytearray(path.read_bytes())
    (offset,) = struct.unpack("<I", content[4:8])
    (count,) = struct.unpack("<H", content[offset : offset + 2])
    for i in range(count):
        begin = offset + 2 + 12 * i
        tag, _, _ = struct.unpack("<HHI", content[begin : begin + 8])
        if tag in (256, 257):
            struct.pack_into("<HII", content, begin + 2, 4, 1, width if tag == 256 else height)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("size", [(60_000, 60_000), (2_000_000_000, 2_000_000_000), (2_000_000_000, 8), (9_000_000, 8)])
def test_a_lying_geotiff_header_allocates_nothing(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "liar.tif"
    lying_tiff(path, *size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidInput, match=r"liar\.tif"):
        format_named("GTiff").read(path)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 200 << 20


def test_a_lying_netcdf_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "liar.nc"
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", shape=(10**12,), dtype="f8", chunks=(1024,))
        x.make_scale("x")
        data = file.create_dataset("rain", shape=(10**12,), dtype="f4", chunks=(1024,))
        data.dims[0].attach_scale(x)
    with pytest.raises(InvalidInput, match="declares 1000000000000 cells"):
        format_named("netCDF").read(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("rain", shape=(10**6, 10**6), dtype="f4", chunks=(10**5, 10**4))
    with pytest.raises(InvalidInput, match="declares chunks of 4 GB"):
        format_named("netCDF").read(path)


def test_a_lying_zarr_allocates_nothing(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "liar.zarr")
    group.create_array("x", shape=(10**12,), chunks=(1000,), dtype="f8", dimension_names=("x",))
    with pytest.raises(InvalidInput, match="declares 1000000000000 cells"):
        format_named("Zarr").read(tmp_path / "liar.zarr")
    document = json.loads((tmp_path / "liar.zarr" / "x" / "zarr.json").read_text())
    document["shape"] = [10**6]
    document["chunk_grid"]["configuration"]["chunk_shape"] = [10**12]
    (tmp_path / "liar.zarr" / "x" / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match="declares chunks of 8 TB"):
        format_named("Zarr").read(tmp_path / "liar.zarr")


def test_grib_is_read_by_time_and_element_and_refused_when_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "warmth.grib2"
    write_grib(path)
    cube = format_named("GRIB").read(path)
    assert cube.dims == ("t", "bands", "y", "x")
    assert cube["t"].values.tolist() == np.array(["2020-01-01T06:00"], "M8[ns]").tolist()
    assert (cube["bands"].values.tolist(), cube.attrs["units"]) == (["TMP"], "C")
    # 12 bits over a span of 20 K leave steps of 0.005 K.
    np.testing.assert_allclose(cube.values[0, 0], np.linspace(0, 20, 20).reshape(4, 5), atol=0.01)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InvalidInput, match="its last message is cut off"):
        format_named("GRIB").read(path)


def write_grib(path: Path) -> None:
    """Write one synthetic field of temperature, valid on 2020-01-01 at 06:00, as GDAL writes GRIB 2."""
    if "GRIB" not in rasterio.drivers.raster_driver_extensions().values():
        pytest.skip("this GDAL knows no GRIB")
    plain = path.with_suffix(".tif")
    options = {"driver": "GTiff", "width": 5, "height": 4, "count": 1, "dtype": "float64", "crs": 4326}
    with rasterio.open(plain, "w", transform=rasterio.Affine(0.5, 0, 9, 0, -0.5, 47), **options) as file:
        file.write(np.linspace(0, 20, 20).reshape(1, 4, 5))
    code = textwrap.dedent(
        f"""
        import rasterio.shutil
        rasterio.shutil.copy({str(plain)!r}, {str(path)!r}, driver="GRIB", IDS="REF_TIME=2020-01-01T00:00:00Z",
            DISCIPLINE="0", PDS_PDTN="0", PDS_TEMPLATE_NUMBERS="0 0 2 0 0 0 0 0 1 0 0 0 6 1 0 0 0 0 0 255 0 0 0 0 0",
            INPUT_UNIT="C", NBITS="12")
        """
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    plain.unlink()


@pytest.mark.parametrize("name", ["netCDF", "Zarr", "GTiff", "COG", "PNG", "CoverageJSON"])
@pytest.mark.parametrize("dim", ["t", "bands", "y", "x"])
def test_a_cube_without_cells_is_refused(name: str, dim: str, cube: xr.DataArray, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"{dim}: 0") as caught:
        format_named(name).write(cube.isel({dim: []}), tmp_path / "r.x")
    assert caught.value.context["exception"] == "DataCubeEmpty"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("GTiff", lambda cube: cube.isel(x=0), "no two horizontal dimensions"),
        ("GTiff", lambda cube: cube.isel(x=[0, 1, 3]), "not evenly spaced"),
        ("GTiff", lambda cube: cube.astype("complex64"), "complex64"),
        ("COG", lambda cube: cube.astype(str), "holds numbers"),
        ("PNG", lambda cube: cube.isel(bands=[0, 1]), "1, 3 or 4 bands, and the cube has 2"),
        ("GeoJSON", lambda cube: cube, "holds vector cubes"),
        ("GPKG", lambda cube: cube, "holds vector cubes"),
        ("netCDF", lambda cube: [1, 2], "holds cubes"),
        ("CSV", lambda cube: {"a": {"b": 1}}, "no table"),
        ("JSON", lambda cube: {"a": object()}, "no word for"),
        ("CoverageJSON", lambda cube: cube.astype(str), "holds numbers"),
        ("GRIB", lambda cube: cube, "only be read"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    name: str, change: Any, message: str, cube: xr.DataArray, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        format_named(name).write(change(cube), tmp_path / "r.x")
    assert caught.value.context["exception"] == "FormatUnsuitable"
    assert list(tmp_path.iterdir()) == []


def failing(cube: xr.DataArray, error: Exception) -> xr.DataArray:
    """Return the cube, whose second instant cannot be read."""

    def read(window: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        if window[0].stop > 1:
            raise error
        return cube.isel(dict(zip(cube.dims, window, strict=True))).values

    chunks = {"t": 1, "bands": 3, "y": 4, "x": 5}
    return lazy_cube(lazy_variable(cube.dims, cube.shape, cube.dtype, read, chunks=chunks), cube.coords, cube.name)


@pytest.mark.parametrize("name", ["netCDF", "Zarr", "GTiff", "COG", "CSV", "Parquet", "CoverageJSON", "PNG"])
def test_nothing_is_half_written(name: str, cube: xr.DataArray, tmp_path: Path) -> None:
    lost = OSError("the tape is torn")
    with pytest.raises(OSError, match="the tape is torn"):
        format_named(name).write(failing(cube, lost), tmp_path / f"r{format_named(name).suffix}")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_in_one_sentence(cube: xr.DataArray, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(StoreFull):
        format_named("netCDF").write(failing(cube, full), tmp_path / "r.nc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("netCDF", {"zlib": False}),
        ("Zarr", {"compression": "none"}),
        ("GTiff", {"compress": "none"}),
        ("COG", {"compress": "none"}),
    ],
)
def test_a_cube_larger_than_memory_is_written_in_blocks(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    """A lazily made cube of 1 GB is written by a process that may use 400 MB more than it has at its start."""
    code = textwrap.dedent(
        f"""
        import resource, sys
        from pathlib import Path
        import numpy as np
        from gemel.infra.lake._lazy import lazy_cube, lazy_variable
        from gemel.infra.lake.formats import format_named
        import rasterio, h5py, zarr
        shape = (2, 2, 8000, 8000)
        read = lambda window: np.ones([part.stop - part.start for part in window], "float32")
        variable = lazy_variable(("t", "bands", "y", "x"), shape, "float32", read, chunks={{"t": 1, "y": 512, "x": 512}})
        coords = {{"t": np.array(["2020-01-01", "2020-01-02"], "M8[ns]"), "bands": ["a", "b"],
                   "y": -np.arange(8000.0), "x": np.arange(8000.0)}}
        cube = lazy_cube(variable, coords)
        begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        files = format_named({name!r}).write(cube, Path({str(tmp_path)!r}) / "r.x", {options!r})
        print(sum(file.stat().st_size for file in files), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    written, grown = map(int, done.stdout.split())
    assert written >= 2 * 2 * 8000 * 8000 * 4
    assert grown * 1024 < 400 << 20
