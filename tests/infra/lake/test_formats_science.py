"""Formats of the sciences: what other programs wrote is read, and what is written, other programs read."""

from __future__ import annotations

import runpy
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import h5py
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.infra.lake.formats import format_named, format_of_file
from gemel.infra.lake.formats._frame_vectors import samples

_DATA = Path(__file__).parent / "data"
_SIGNALS = runpy.run_path(str(_DATA / "frame_signals.py"))
COUNT, RATE, TYPES, signal = (_SIGNALS[name] for name in ("COUNT", "RATE", "TYPES", "signal"))


def read(path: Path, **options: Any) -> Any:
    """Return what the format that a file's content tells makes of it."""
    found = format_of_file(path)
    assert found is not None, path.name
    return found.read(path, options)


# HDF5 and HDF4


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """Write an HDF5 file with groups, texts, fields, references, and links that lead elsewhere."""
    path = tmp_path / "detector.h5"
    with h5py.File(path, "w") as file:
        file["hits"] = np.arange(6.0).reshape(2, 3)
        file["hits"].attrs["units"] = "GeV"
        file["hits"].dims[0].label = "layer"
        file["cells/name"] = np.array(["a", "b"], h5py.string_dtype())
        file["cells"].attrs["note"] = "synthetic"
        file["cells/inner/kind"] = np.array([(1, 2.5)], [("id", "i4"), ("energy", "f8")])
        file["reference"] = file["hits"].ref
        file["empty"] = h5py.Empty("f4")
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
        file["around"] = h5py.SoftLink("/")
    return path


def test_hdf5_with_groups_is_a_tree_with_units_and_names(detector: Path) -> None:
    tree = read(detector)
    assert tree["hits"].dims == ("layer", "dim_0")
    assert tree["hits"].attrs == {"units": "GeV"}
    np.testing.assert_array_equal(tree["hits"].isel(layer=1).values, [3, 4, 5])
    assert tree["cells/name"].values.tolist() == ["a", "b"]
    assert tree["cells"].attrs == {"note": "synthetic"}
    assert tree["cells/inner/kind"].values["energy"].tolist() == [2.5]
    assert set(tree.children) == {"cells"} and not {"reference", "empty"} & set(tree.data_vars)


def test_a_group_of_hdf5_is_read_alone(detector: Path) -> None:
    assert read(detector, group="cells/inner")["kind"].shape == (1,)
    one = read(detector, variable="cells/inner/kind")
    assert isinstance(one, xr.DataArray) and one.name == "kind"
    assert read(detector, variable="hits").attrs == {"units": "GeV"}
    with pytest.raises(InvalidInput, match="no array 'hit'"):
        read(detector, variable="hit")
    with pytest.raises(InvalidInput, match="no group 'cell'") as caught:
        read(detector, group="cell")
    assert "cells" in str(caught.value.hint)


def test_hdf5_whose_axes_all_have_scales_is_read_as_netcdf(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(3.0)
        file["x"].make_scale("x")
        file["rain"] = np.arange(3.0)
        file["rain"].dims[0].attach_scale(file["x"])
    assert format_of_file(tmp_path / "a.h5").name == "netCDF"
    assert read(tmp_path / "a.h5").dims == ("x",)


def test_groups_whose_axes_contradict_each_other_are_told_by_their_paths(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in (("time", [1.0, 2.0]), ("night/time", [7.0, 8.0])):
            file[name] = values
            file[name].make_scale("time")
        file["grid"] = np.zeros((4, 5))
    found = read(tmp_path / "a.h5")
    assert isinstance(found, dict) and found["/night"]["time"].values.tolist() == [7.0, 8.0]


def test_hdf5_that_declares_too_much_or_runs_in_a_circle_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "liar.h5", "w") as file:
        file.create_dataset("x", shape=(10**12,), dtype="f4", chunks=(1024,))
    with pytest.raises(InvalidInput, match="1000000000000 cells"):
        read(tmp_path / "liar.h5")
    with h5py.File(tmp_path / "circle.h5", "w") as file:
        file["a/x"] = [1.0]
        file["a/back"] = file["/"]
    with pytest.raises(InvalidInput, match="circle"):
        read(tmp_path / "circle.h5")


@pytest.fixture
def satellite(tmp_path: Path) -> Path:
    """Write an HDF4 file with pyhdf: the library is The HDF Group's own."""
    sd = pytest.importorskip("pyhdf.SD", reason="the extra [data] is not installed")
    path = tmp_path / "satellite.hdf"
    file = sd.SD(str(path), sd.SDC.WRITE | sd.SDC.CREATE)
    array = file.create("temperature", sd.SDC.FLOAT32, (3, 4))
    array.dim(0).setname("y")
    array.units = "K"
    array[:] = np.arange(12, dtype="f4").reshape(3, 4)
    array.endaccess()
    counts = file.create("counts", sd.SDC.INT16, (3, 4))
    counts[:] = np.arange(12, dtype="i2").reshape(3, 4)
    counts.endaccess()
    file.end()
    return path


def test_hdf4_is_read_by_windows_with_names_and_units(satellite: Path) -> None:
    found = read(satellite)
    assert (found.temperature.dims, found.temperature.attrs["units"]) == (("y", "dim_0"), "K")
    assert found.temperature.dtype == np.dtype("f4") and found.counts.dtype == np.dtype("i2")
    np.testing.assert_array_equal(found.temperature[1:3, ::-2].values, [[7, 5], [11, 9]])
    assert read(satellite, variables=["counts"]).name == "counts"
    with pytest.raises(InvalidInput, match="no array 'wind'"):
        read(satellite, variables=["wind"])


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_hdf4_that_is_cut_off_is_refused_before_its_library_sees_it(satellite: Path, share: float) -> None:
    content = satellite.read_bytes()
    satellite.write_bytes(content[: max(5, int(share * len(content)))])
    with pytest.raises(InvalidInput, match=r"satellite\.hdf"):
        read(satellite)


# FITS


@pytest.fixture
def sky() -> xr.DataArray:
    values = np.arange(24, dtype="f4").reshape(2, 3, 4)
    coords = {
        "time": np.array(["2020-01-01T00:00:00", "2020-01-01T00:00:10"], "M8[ns]"),
        "frequency": ("frequency", 1400.0 + 0.5 * np.arange(3), {"units": "MHz"}),
        "band": ["a", "b", "c", "d"],
    }
    return xr.DataArray(values, coords, ("time", "frequency", "band"), name="flux", attrs={"units": "Jy"})


def test_a_cube_comes_back_from_fits_with_unit_and_labels(sky: xr.DataArray, tmp_path: Path) -> None:
    pytest.importorskip("astropy", reason="the extra [data] is not installed")
    (path,) = format_named("FITS").write(sky, tmp_path / "sky.fits")
    found = read(path)
    xr.testing.assert_equal(found.load(), sky)
    assert (found.name, found.attrs["units"], found.frequency.attrs["units"]) == ("flux", "Jy", "MHz")


def test_what_is_written_is_fits_by_the_standard_with_its_coordinates(sky: xr.DataArray, tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits", reason="the extra [data] is not installed")
    from astropy import wcs

    image = sky.isel(time=0, band=0, drop=True).expand_dims(x=[10.0, 12.0])
    (path,) = format_named("FITS").write(image, tmp_path / "sky.fits")
    with fits.open(path) as units:
        units.verify("exception")
        np.testing.assert_array_equal(units[0].data, image.values)
        world = wcs.WCS(units[0].header).all_pix2world([[0, 0], [2, 1]], 0)
    np.testing.assert_allclose(world, [[1400.0, 10.0], [1401.0, 12.0]])
    assert path.stat().st_size % 2880 == 0


@pytest.mark.parametrize("dtype", ["bool", "u1", "i1", "i2", "u2", "i4", "u4", "i8", "f2", "f4", "f8"])
def test_every_type_of_cells_keeps_its_values_in_fits(dtype: str, tmp_path: Path) -> None:
    pytest.importorskip("astropy", reason="the extra [data] is not installed")
    cube = xr.DataArray(np.array([[0, 1], [1, 100]]).astype(dtype), dims=("y", "x"))
    (path,) = format_named("FITS").write(cube, tmp_path / "a.fits")
    np.testing.assert_array_equal(read(path).values, cube.values)


def test_images_tables_and_scaled_numbers_of_astropy_are_read(tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits", reason="the extra [data] is not installed")
    image = fits.ImageHDU(np.arange(6, dtype="i2").reshape(2, 3), name="SCI")
    image.header["CTYPE1"], image.header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    image.header["CRVAL1"], image.header["CDELT1"] = 10.0, 0.1
    image.header["BUNIT"] = "adu"
    columns = [
        fits.Column("name", "5A", array=["vega", "deneb"]),
        fits.Column("flux", "E", unit="Jy", array=[1.5, 2.5]),
        fits.Column("pair", "2J", array=[[1, 2], [3, 4]]),
        fits.Column("list", "PJ()", array=np.array([[1], [2, 3]], dtype=object)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="STARS")
    packed = fits.CompImageHDU(np.arange(64, dtype="i4").reshape(8, 8), name="PACKED")
    unsigned = fits.ImageHDU(np.array([[0, 65535]], "u2"), name="COUNTS")
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), image, table, packed, unsigned]).writeto(path)
    found = read(path)
    assert (found.name, found.dims, found.attrs["units"], found.attrs["CTYPE1"]) == (
        "SCI",
        ("y", "x"),
        "adu",
        "RA---TAN",
    )
    assert not found.coords  # celestial coordinates of a cell depend on both axes
    np.testing.assert_array_equal(found[1].values, [3, 4, 5])
    stars = read(path, hdu="stars")
    assert stars["name"].tolist() == ["vega", "deneb"] and stars.attrs["units"] == {"flux": "Jy"}
    assert [item.tolist() for item in stars["pair"]] == [[1, 2], [3, 4]]
    assert [item.tolist() for item in stars["list"]] == [[1], [2, 3]]
    np.testing.assert_array_equal(read(path, hdu=3)[2:4, 1:3].values, np.arange(64).reshape(8, 8)[2:4, 1:3])
    assert read(path, hdu=4).values.tolist() == [[0, 65535]]
    with pytest.raises(InvalidInput, match="no unit 'STAR'") as caught:
        read(path, hdu="STAR")
    assert "STARS" in str(caught.value.hint)


def test_fits_that_lies_or_is_cut_off_is_refused(sky: xr.DataArray, tmp_path: Path) -> None:
    pytest.importorskip("astropy", reason="the extra [data] is not installed")
    (path,) = format_named("FITS").write(xr.concat([sky] * 100, "time"), tmp_path / "sky.fits")
    content = path.read_bytes()
    path.write_bytes(content[:-2880])
    with pytest.raises(InvalidInput, match="declares 9600 bytes"):
        read(path)
    path.write_bytes(content.replace(b"NAXIS1  =                    4", b"NAXIS1  =          40000000000"))
    with pytest.raises(InvalidInput, match=r"sky\.fits"):
        read(path)
    path.write_bytes(content[:100])
    with pytest.raises(InvalidInput, match=r"sky\.fits"):
        read(path)


# ROOT


@pytest.fixture
def collisions(tmp_path: Path) -> Path:
    uproot = pytest.importorskip("uproot", reason="the extra [data] is not installed")
    path = tmp_path / "collisions.root"
    with uproot.recreate(path) as file:
        file.mktree("run/events", {"energy": "float64", "hits": "var * int32"})
        file["run/events"].extend({"energy": np.arange(5.0), "hits": [[1], [], [2, 3], [4], [5]]})
        file["spectrum"] = np.histogram([0.1, 0.2, 0.9], bins=[0.0, 0.5, 1.0])
    return path


def test_trees_are_tables_and_histograms_are_cubes_with_errors(collisions: Path) -> None:
    table = read(collisions, object="run/events")
    assert isinstance(table, pd.DataFrame) and table["energy"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [list(item) for item in table["hits"]] == [[1], [], [2, 3], [4], [5]]
    part = read(collisions, object="run/events", variables=["energy"], start=1, stop=3)
    assert part.to_dict("list") == {"energy": [1.0, 2.0]}
    cube = read(collisions, object="spectrum")
    assert (cube.values.tolist(), cube.x.values.tolist()) == ([2.0, 1.0], [0.25, 0.75])
    # Counts have Poisson errors: the root of the count.
    np.testing.assert_allclose(cube.standard_error.values, np.sqrt([2.0, 1.0]))


def test_a_file_of_several_objects_says_which(collisions: Path) -> None:
    with pytest.raises(InvalidInput, match="2 tables and histograms") as caught:
        read(collisions)
    assert "run/events (TTree)" in str(caught.value.hint)
    with pytest.raises(InvalidInput, match="no table or histogram 'run/event'"):
        read(collisions, object="run/event")
    with pytest.raises(InvalidInput, match="no column 'energi'"):
        read(collisions, object="run/events", variables=["energi"])


@pytest.mark.parametrize("share", [0.005, 0.3, 0.9])
def test_root_that_is_cut_off_is_refused(collisions: Path, share: float) -> None:
    content = collisions.read_bytes()
    collisions.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InvalidInput, match=r"collisions\.root"):
        read(collisions, object="run/events")


# Gravitational-wave frames


@pytest.mark.parametrize("code", [256, 257, 259, 261, 264, 266, 6])
@pytest.mark.parametrize("kind", TYPES)
def test_frames_of_framecpp_are_read_exactly_however_they_are_compressed(code: int, kind: str) -> None:
    found = read(_DATA / f"framecpp-{code}.gwf", channels=[f"X1:{kind}"])
    assert (found.dtype, found.sizes["time"], found.attrs["units"]) == (np.dtype(kind), COUNT, "m")
    np.testing.assert_array_equal(found.values, signal(kind))
    np.testing.assert_array_equal(found[10:75:7].values, signal(kind)[10:75:7])


def test_frames_of_framel_are_read_exactly_whatever_the_channel_s_structure() -> None:
    found = read(_DATA / "framel.gwf")
    assert len(found.data_vars) == 17
    for name, cube in found.items():
        np.testing.assert_array_equal(cube.values, signal(str(name).partition("-")[2]), err_msg=str(name))
    assert {cube.attrs["frame_structure"] for cube in found.values()} == {"FrAdcData", "FrProcData", "FrSimData"}
    # 10^9 s after 1980-01-06 is 2011-09-14T01:46:40; 15 leap seconds had been put in by then (IERS Bulletin C).
    assert str(found.time.values[0]) == "2011-09-14T01:46:25.500000000"
    assert (found.time.values[64] - found.time.values[0]) == np.timedelta64(1, "s")


def test_frames_that_follow_each_other_make_one_series() -> None:
    ramp = read(_DATA / "framecpp-three.gwf")
    assert ramp.name == "X1:ramp" and ramp.attrs["sample_rate"] == RATE
    np.testing.assert_array_equal(ramp.values, np.arange(192))
    np.testing.assert_array_equal(ramp[60:70].values, np.arange(60, 70))
    assert len(np.unique(np.diff(ramp.time.values))) == 1


def test_counts_become_values_by_slope_and_bias(tmp_path: Path) -> None:
    content = bytearray((_DATA / "framel.gwf").read_bytes())
    # Bias and slope, of 4 bytes each, follow group, number and bits (LIGO-T970130, FrAdcData); LALFrame leaves them 0.
    at = content.index(struct.pack("<III", 0, 0, 64), content.index(b"X1:Adc-f8\0")) + 12
    assert content[at : at + 8] == bytes(8)
    content[at : at + 8] = struct.pack("<ff", 5.0, 0.5)
    (tmp_path / "a.gwf").write_bytes(bytes(content))
    scaled = read(tmp_path / "a.gwf", channels=["X1:Adc-f8"])
    counts = read(tmp_path / "a.gwf", channels=["X1:Adc-f8"], scaled=False)
    np.testing.assert_array_equal(scaled.values, counts.values * 0.5 + 5.0)
    np.testing.assert_array_equal(counts.values, signal("f8"))


@pytest.mark.parametrize("kind", ["i2", "i4", "i8"])
def test_big_endian_words_are_read_as_little_endian_ones_are(kind: str) -> None:
    """No writer at hand makes them: the words of little-endian content are turned around."""
    values = signal(kind)
    big = values.astype(f">{kind}").tobytes()
    code = {"i1": 0, "i2": 1, "i4": 4, "i8": 5}[kind]
    np.testing.assert_array_equal(samples(big, 0, code, COUNT), values)
    np.testing.assert_array_equal(samples(zlib.compress(big), 1, code, COUNT), values)
    differences = np.diff(values, prepend=values.dtype.type(0)).astype(f">{kind}").tobytes()
    np.testing.assert_array_equal(samples(zlib.compress(differences), 3, code, COUNT), values)


def test_a_series_too_long_for_labels_has_its_start_and_rate() -> None:
    found = read(_DATA / "framecpp-long.gwf")
    assert "time" not in found.coords and found.sizes["time"] == 10_000_128
    assert (found.attrs["gps_start_ns"], found.attrs["sample_rate"]) == (10**18, 4096.0)
    assert found[-3:].values.tolist() == [0, 0, 0]


def test_a_channel_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInput, match="no series 'X1:romp'") as caught:
        read(_DATA / "framecpp-three.gwf", channels=["X1:romp"])
    assert "X1:ramp" in str(caught.value.hint)


@pytest.mark.parametrize("share", [0.002, 0.1, 0.5, 0.99])
def test_frames_that_are_cut_off_are_refused(share: float, tmp_path: Path) -> None:
    content = (_DATA / "framel.gwf").read_bytes()
    (tmp_path / "cut.gwf").write_bytes(content[: int(share * len(content))])
    with pytest.raises(InvalidInput, match=r"cut\.gwf"):
        read(tmp_path / "cut.gwf")


def test_a_frame_that_unpacks_to_more_than_it_says_is_refused() -> None:
    bomb = zlib.compress(bytes(10_000_000))
    with pytest.raises(ValueError, match="more are there"):
        samples(bomb, 257, 4, 100)
    with pytest.raises(ValueError, match="ends early"):
        samples(b"\x0c\x00", 261, 1, 1000)
    with pytest.raises(ValueError, match="empty"):
        samples(b"\0\0\0\0", 261, 1, 10)


# SIGPROC filterbank


def spectra(dtype: str, top: int, count: int = 33, channels: int = 8) -> xr.DataArray:
    values = np.random.default_rng(5).integers(0, top, (count, channels)).astype(dtype)
    time = np.datetime64("2020-01-01T06:00", "ns") + np.arange(count) * np.timedelta64(256_000, "ns")
    frequency = ("frequency", 1500.0 - 0.5 * np.arange(channels), {"units": "MHz"})
    return xr.DataArray(values, {"time": time, "frequency": frequency}, ("time", "frequency"), name="J0534+2200")


@pytest.mark.parametrize("nbits", [1, 2, 4, 8, 16, 32])
def test_spectra_come_back_from_a_filterbank_with_times_and_frequencies(nbits: int, tmp_path: Path) -> None:
    cube = spectra("u2", min(1 << nbits, 60_000))
    (path,) = format_named("sigproc").write(cube, tmp_path / "a.fil", {"nbits": nbits})
    found = read(path)
    np.testing.assert_array_equal(found.values, cube.values)
    np.testing.assert_array_equal(found[5:9, 2:4].values, cube[5:9, 2:4].values)
    xr.testing.assert_equal(found.frequency, cube.frequency)
    # The header tells the start in days as a double: near the year 2020 that is good to about a microsecond.
    assert abs(found.time.values - cube.time.values).max() <= np.timedelta64(1, "us")
    assert (found.name, found.frequency.attrs["units"]) == ("J0534+2200", "MHz")
    part = format_named("sigproc").read(path, {"start": 4, "samples": 3})
    np.testing.assert_array_equal(part.values, cube[4:7].values)


def header(*parts: tuple[str, Any], order: str = "<") -> bytes:
    """Return a filterbank header as the SIGPROC manual describes it (appendix A)."""

    def word(text: str) -> bytes:
        return struct.pack(f"{order}i", len(text)) + text.encode()

    def value(item: Any) -> bytes:
        if isinstance(item, str):
            return word(item)
        return struct.pack(f"{order}d" if isinstance(item, float) else f"{order}i", item)

    return word("HEADER_START") + b"".join(word(name) + value(item) for name, item in parts) + word("HEADER_END")


_USUAL: tuple[tuple[str, Any], ...] = (
    ("telescope_id", 4), ("source_name", "B0833-45"), ("src_raj", 83520.6), ("tstart", 58849.25), ("tsamp", 0.001),
    ("nbits", 8), ("fch1", 1400.0), ("foff", -1.0), ("nchans", 4), ("nifs", 1),
)  # fmt: skip


def test_a_header_of_the_manual_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.fil").write_bytes(header(*_USUAL) + bytes(range(12)))
    found = read(tmp_path / "a.fil")
    np.testing.assert_array_equal(found.values, np.arange(12).reshape(3, 4))
    assert found.frequency.values.tolist() == [1400.0, 1399.0, 1398.0, 1397.0]
    assert str(found.time.values[2]) == "2020-01-01T06:00:00.002000000"  # MJD 58849 is 2020-01-01
    assert (found.name, found.attrs["telescope_id"], found.attrs["src_raj"]) == ("B0833-45", 4, 83520.6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(*_USUAL, order=">"), "big-endian"),
        (header(*_USUAL)[:40], "cut off"),
        (header(*_USUAL, ("colour", 3)), "not known"),
        (header(*_USUAL[:-2]), "lacks nchans"),
        (header(*_USUAL, ("nchans", 2_000_000_000)), "declares 2000000000 channels"),
        (header(*_USUAL, ("nbits", 7)), "7 bits"),
        (header(*_USUAL, ("tsamp", float("nan"))), "no number"),
        (header(*_USUAL, ("nsamples", 1000)), "declares 1000 instants, and holds 0"),
        (struct.pack("<i", 12) + b"HEADER_START" + struct.pack("<i", 2_000_000_000), "word of 2000000000 bytes"),
        (header(*_USUAL), "0 instants"),
    ],
)
def test_filterbank_headers_that_cannot_be_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.fil").write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path / "a.fil")


@pytest.mark.parametrize(
    ("cube", "message"),
    [
        (spectra("u2", 300), "8 bits hold whole numbers from 0 to 255"),
        (spectra("u1", 5).isel(time=[0, 1, 5]), "not evenly spaced"),
        (spectra("u1", 5).isel(time=[0]), "its step is not known"),
        (spectra("u1", 5).rename(time="t"), "dimensions are time, frequency"),
        (spectra("u1", 5).drop_vars("time"), "need their labels"),
    ],
)
def test_cubes_that_no_filterbank_holds_are_refused(cube: xr.DataArray, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        format_named("Filterbank").write(cube, tmp_path / "a.fil", {"nbits": 8})
    assert list(tmp_path.iterdir()) == []


# All of them


@pytest.mark.parametrize("name", ["HDF5", "HDF4", "FITS", "ROOT", "GWF", "Filterbank", "JPEG2000", "NPY", "NPZ"])
@hypothesis.settings(max_examples=20, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(content=st.binary(max_size=300))
def test_noise_is_refused_with_its_name(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="noise"):
        format_named(name).read(path)


@pytest.mark.parametrize("name", ["framel.gwf", "framecpp-6.gwf", "spectra.fil", "sky.fits"])
@hypothesis.settings(max_examples=60, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_bytes_are_values_or_a_clear_error(
    name: str, places: list[tuple[float, int]], sky: xr.DataArray, tmp_path: Path
) -> None:
    path = tmp_path / name
    if name.endswith(".fil"):
        format_named("Filterbank").write(spectra("u1", 200), path)
    elif name.endswith(".fits"):
        pytest.importorskip("astropy", reason="the extra [data] is not installed")
        format_named("FITS").write(sky, path)
    else:
        path.write_bytes((_DATA / name).read_bytes())
    content = bytearray(path.read_bytes())
    for share, value in places:
        content[int(share * (len(content) - 1))] = value
    path.write_bytes(bytes(content))
    kind = {".gwf": "GWF", ".fil": "Filterbank", ".fits": "FITS"}[path.suffix]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            format_named(kind).read(path).load()
        except InvalidInput as error:
            assert len(error.message) < 500
