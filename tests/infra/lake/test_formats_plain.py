"""Arrays, texts, bytes and pickles; shapefiles and JPEG 2000; and which format a file is taken for."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import shapely
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.infra.lake.formats import format_named, format_of_file, formats
from gemel.infra.lake.formats._pickles import unpickled


def read(path: Path, **options: Any) -> Any:
    """Return what the format that a file's content tells makes of it."""
    found = format_of_file(path)
    assert found is not None, path.name
    return found.read(path, options)


# Arrays


def test_an_array_comes_back_and_numpy_reads_it(cube: xr.DataArray, tmp_path: Path) -> None:
    (path,) = format_named("NPY").write(cube, tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), cube.values)
    found = read(path)
    assert found.dims == ("dim_0", "dim_1", "dim_2", "dim_3")
    np.testing.assert_array_equal(found[1, :, 2:, ::2].values, cube.values[1, :, 2:, ::2])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">f4", "<i2", "?", "c16", "M8[ns]", "U3"])
def test_arrays_of_numpy_are_read_in_every_order_and_type(order: Any, dtype: str, tmp_path: Path) -> None:
    values = np.asarray(np.arange(6).reshape(2, 3).astype(dtype), order=order)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(read(tmp_path / "a.npy").values, values)


def test_rows_of_fields_become_a_table(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([(1, 2.5, [1, 2])], [("id", "i4"), ("flow", "f8"), ("pair", "i2", 2)]))
    table = read(tmp_path / "a.npy")
    assert (list(table.columns), table["flow"].tolist(), table["pair"][0].tolist()) == (
        ["id", "flow", "pair"],
        [2.5],
        [1, 2],
    )


def test_several_arrays_come_back_from_npz_with_their_labels(cube: xr.DataArray, tmp_path: Path) -> None:
    (path,) = format_named("NPZ").write(cube, tmp_path / "a.npz")
    with np.load(path, allow_pickle=False) as other:
        np.testing.assert_array_equal(other["light"], cube.values)
        assert other["t"].dtype == np.dtype("M8[ns]")
    found = read(path)
    np.testing.assert_array_equal(found["light"][0, 1].values, cube.values[0, 1])
    assert found["bands"].values.tolist() == ["B02", "B03", "B04"]
    np.testing.assert_array_equal(read(path, variable="light").values, cube.values)
    with pytest.raises(InvalidInput, match="no array 'lihgt'"):
        read(path, variable="lihgt")


def test_arrays_of_objects_are_never_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.array([{}], object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InvalidInput, match="pickled objects"):
            read(tmp_path / name)
    with pytest.raises(InvalidInput, match="of type object"):
        format_named("NPY").write(xr.DataArray(np.array([{}], object)), tmp_path / "b.npy")


def test_arrays_that_lie_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    def lying(shape: tuple[int, ...]) -> bytes:
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
        return stream.getvalue() + bytes(64)

    (tmp_path / "a.npy").write_bytes(lying((10**12,)))
    with pytest.raises(InvalidInput, match="declares 1000000000000 cells"):
        read(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", lying((10**12,)))
    with pytest.raises(InvalidInput, match="limit"):
        read(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", lying((1000,)))
    with pytest.raises(InvalidInput, match="more cells than it holds"):
        read(tmp_path / "b.npz")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("x.npy", lying((4,)))
        archive.writestr("run.py", "print()")
    with pytest.raises(InvalidInput, match="is no array"):
        format_named("NPZ").read(tmp_path / "c.npz")


def test_damaged_cells_of_npz_are_noticed_when_they_are_read(cube: xr.DataArray, tmp_path: Path) -> None:
    (path,) = format_named("NPZ").write(cube, tmp_path / "a.npz", {"compression": False})
    content = bytearray(path.read_bytes())
    at = content.index(cube.values.tobytes()[40:80])
    content[at] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(InvalidInput, match="CRC"):
        read(path)["light"].load()


# Text and bytes


def test_text_and_bytes_come_back_as_they_are(tmp_path: Path) -> None:
    (path,) = format_named("Text").write("Regen in Fulda: 3 mm, µ\r\n", tmp_path / "a.txt")
    assert format_named("Text").read(path) == "Regen in Fulda: 3 mm, µ\r\n"
    (path,) = format_named("Binary").write(b"\0\1\2", tmp_path / "a.bin")
    assert read(path) == b"\0\1\2"
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="no UTF-8"):
        format_named("Text").read(tmp_path / "b.txt")


def test_bytes_of_a_described_array_are_its_cells(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"head" + np.arange(6, dtype=">i2").tobytes())
    found = read(tmp_path / "a.bin", dtype=">i2", shape=[2, 3], offset=4)
    np.testing.assert_array_equal(found[1].values, [3, 4, 5])
    assert read(tmp_path / "a.bin", dtype="u1").sizes == {"dim_0": 16}
    for options, message in [
        ({"dtype": ">i2", "shape": [9, 9]}, "too few"),
        ({"dtype": "O"}, "no type of numbers"),
        ({"dtype": "whatever"}, "no type of numbers"),
        ({"shape": [2]}, "needs the type"),
        ({"dtype": "u1", "shape": [-1]}, "no sizes"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            read(tmp_path / "a.bin", **options)


# Pickles

_PLAIN = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.array([(1, 2.0)], [("x", "i4"), ("y", ">f8")]),
    np.array(["2020-01-01"], "M8[ns]"),
    np.array(["ab", "c"]),
    np.array([1, None, "x"], object),
    np.zeros((0, 3)),
    np.arange(3, dtype=">i2"),
    np.float32(3),
    np.datetime64("2020", "Y"),
    np.dtype("f4"),
    [1, (2, {3}, frozenset([4])), b"x", b"", None, 2 + 3j, True, {1: 2, "x": (1.5,)}, 10**40],
    OrderedDict(a=1),
    bytearray(b"q"),
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", _PLAIN, ids=lambda value: type(value).__name__)
def test_arrays_and_plain_values_come_back_from_every_protocol(protocol: int, value: Any) -> None:
    found = unpickled(pickle.dumps(value, protocol))
    if isinstance(value, (np.ndarray, np.generic)):
        np.testing.assert_array_equal(found, value)
        assert found.dtype == value.dtype
    else:
        assert found == value


@hypothesis.settings(max_examples=50)
@hypothesis.given(value=hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(max_dims=3, max_side=4)))
def test_whatever_array_comes_back_bit_for_bit(value: np.ndarray[Any, Any]) -> None:
    found = unpickled(pickle.dumps(value, 4))
    assert (found.dtype, found.shape, found.tobytes()) == (value.dtype, value.shape, value.tobytes())


def test_buffers_outside_of_a_pickle_are_taken() -> None:
    value, buffers = {"a": np.arange(6.0), "b": np.arange(4, dtype="u1")}, []
    content = pickle.dumps(value, 5, buffer_callback=buffers.append)
    found = unpickled(content, [buffer.raw() for buffer in buffers])
    assert {name: item.tolist() for name, item in found.items()} == {"a": [0, 1, 2, 3, 4, 5], "b": [0, 1, 2, 3]}
    with pytest.raises(InvalidInput, match="not as many cells"):
        unpickled(content, [bytes(8), bytes(4)])
    with pytest.raises(InvalidInput):
        unpickled(content)


def test_a_pickle_file_is_a_cube_or_plain_values(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(np.arange(3)))
    assert read(tmp_path / "a.pkl").dims == ("dim_0",)
    (tmp_path / "b").write_bytes(pickle.dumps([1, 2], 4))
    assert read(tmp_path / "b") == [1, 2]


class _Touch:
    """What an attacker writes: restoring it runs a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_malicious_pickle_runs_nothing(protocol: int, tmp_path: Path) -> None:
    content = pickle.dumps([np.arange(3), _Touch(tmp_path / "broken-in")], protocol)
    with pytest.raises(InvalidInput, match=r"it names \w+\.system"):
        unpickled(content)
    assert not (tmp_path / "broken-in").exists()
    pickle.loads(content)  # the same pickle, opened as Python does it
    assert (tmp_path / "broken-in").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"cnumpy\nload\n(S'x'\ntR.", "numpy.load"),
        (b"cnumpy.core.multiarray\nfromfile\n(S'x'\ntR.", "fromfile"),
        (b"cpandas\nDataFrame\n)R.", "pandas.DataFrame"),
        (b"c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "bytes in a way"),
        (b"]" * 1000 + b"a" * 999 + b".", "nested deeper"),
        (b"\x80\x04)" + b"\x85" * 100_000 + b"\x8f\x90.", "nested deeper"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", "memory is larger"),
        (b"\x80\x02\x82\x01.", "outside of itself"),
        (b"Pabc\n.", "outside of itself"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.", "not opened"),
        (b"cnumpy\ndtype\n}b.", "changes a class"),
        (b"cnumpy\ndtype\n(N}S'a'\nI1\nstb.", "changes a class"),
        (b"cnumpy\ndtype\n.", "no array and no plain value"),
        (b"", "not opened"),
        (b"\x80\x04", "not opened"),
        (b"0.", "not opened"),
    ],
)
def test_tricks_of_pickles_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        unpickled(content)


def test_arrays_that_lie_about_themselves_are_refused() -> None:
    begin = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02%s\x87R"

    def made(kind: bytes, shape: bytes, data: bytes) -> bytes:
        made_type = b"cnumpy\ndtype\nU\x02" + kind + b"K\x00K\x01\x87R"
        return begin + b"(K\x01" + shape + made_type + b"\x89" + data + b"tb."

    assert dtype and unpickled(made(b"u1", b"K\x02\x85", b"U\x02ab")).tolist() == [97, 98]
    for content in (
        made(b"u1", b"J\xff\xff\xff\x7f\x85", b"U\x02ab"),  # more cells than bytes
        made(b"f8", b"K\x02\x85", b"U\x02ab"),
        made(b"O8", b"K\x02\x85", b"U\x02ab"),  # addresses of objects made of bytes
        made(b"u1", b"J\xfe\xff\xff\xff\x85", b"U\x02ab"),  # negative
        made(b"zz", b"K\x02\x85", b"U\x02ab"),
    ):
        with pytest.raises(InvalidInput):
            unpickled(content)


def test_references_that_multiply_are_made_once() -> None:
    """Sixty lists of the one before, twice: 2^60 values for whoever copies them one by one."""
    value: list[Any] = [np.arange(3)]
    for _ in range(50):
        value = [value, value]
    found = unpickled(pickle.dumps(value))
    assert found[0] is found[1]


@hypothesis.settings(max_examples=300)
@hypothesis.given(content=st.binary(max_size=60))
def test_noise_is_a_plain_value_or_a_clear_error(content: bytes) -> None:
    for begin in (b"", b"\x80\x04", b"\x80\x02cnumpy\ndtype\n", b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n"):
        try:
            unpickled(begin + content)
        except InvalidInput as error:
            assert len(error.message) < 400


# Shapefiles and JPEG 2000


@pytest.fixture
def catchments(tmp_path: Path) -> Path:
    frames = pytest.importorskip("geopandas", reason="the extra [data] is not installed")
    shapes = [shapely.box(500_000, 0, 500_100, 100), shapely.box(500_100, 100, 500_200, 200)]
    table = frames.GeoDataFrame({"area": [1.5, 2.5], "name": ["Fulda", "Lüder"]}, geometry=shapes, crs=32632)
    (tmp_path / "shapes").mkdir()
    table.to_file(tmp_path / "shapes" / "catchments.shp", encoding="utf-8")
    return tmp_path / "shapes" / "catchments.shp"


def zipped(shape: Path, target: Path, *left_out: str) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for item in shape.parent.iterdir():
            if item.suffix not in left_out:
                archive.write(item, f"in here/{item.name}")
    return target


def test_a_shapefile_is_read_beside_its_siblings_and_out_of_a_zip_file(catchments: Path, tmp_path: Path) -> None:
    for path in (catchments, zipped(catchments, tmp_path / "all.zip")):
        found = read(path)
        assert found.sel(properties="area").values.tolist() == [1.5, 2.5]
        assert found["name"].values.tolist() == ["Fulda", "Lüder"]
        assert found.xindexes["geometry"].crs.to_epsg() == 32632
        assert found["geometry"].values[1].bounds == (500_100, 100, 500_200, 200)


def test_a_shapefile_without_its_siblings_says_what_it_needs(catchments: Path, tmp_path: Path) -> None:
    short = zipped(catchments, tmp_path / "short.zip", ".dbf")
    with pytest.raises(InvalidInput, match=r"catchments\.dbf' is missing"):
        read(short)
    catchments.with_suffix(".dbf").unlink()
    with pytest.raises(InvalidInput, match=r"catchments\.dbf must lie beside") as caught:
        read(catchments)
    assert "one zip file" in str(caught.value.hint)


def test_a_zip_file_of_several_shapefiles_is_asked_which(catchments: Path, tmp_path: Path) -> None:
    for item in list(catchments.parent.iterdir()):
        (catchments.parent / f"gauges{item.suffix}").write_bytes(item.read_bytes())
    path = zipped(catchments, tmp_path / "two.zip")
    with pytest.raises(InvalidInput, match="2 shapefiles"):
        read(path)
    assert read(path, layer="gauges").sizes["geometry"] == 2
    with pytest.raises(InvalidInput, match="no shapefile 'rivers'"):
        read(path, layer="rivers")


def test_a_zip_bomb_with_a_shapefile_in_it_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for suffix in ("shp", "shx", "dbf"):
            archive.writestr(f"a.{suffix}", bytes(100))
    content = bytearray((tmp_path / "bomb.zip").read_bytes())
    at = content.index(b"PK\1\2")
    while at >= 0:  # the size once unpacked, in each entry of the directory (APPNOTE.TXT, 4.3.12)
        struct.pack_into("<I", content, at + 24, 1 << 30)
        at = content.find(b"PK\1\2", at + 1)
    (tmp_path / "bomb.zip").write_bytes(bytes(content))
    with pytest.raises(InvalidInput, match="declares 3 files of 3"):
        read(tmp_path / "bomb.zip")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    rasterio = pytest.importorskip("rasterio", reason="the extra [data] is not installed")
    path = tmp_path / "scene.jp2"
    place = {"crs": 32632, "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    options = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
    with rasterio.open(path, "w", width=300, height=200, count=2, dtype="uint16", **options, **place) as file:
        file.write(np.arange(2 * 200 * 300).reshape(2, 200, 300).astype("uint16"))
    return path


def test_jpeg_2000_is_read_by_windows_with_its_place(picture: Path) -> None:
    found = read(picture)
    assert (found.sizes, found.dtype) == ({"bands": 2, "y": 200, "x": 300}, np.dtype("uint16"))
    assert (found.x.values[0], found.y.values[0]) == (500_005.0, 4_999_995.0)
    whole = np.arange(2 * 200 * 300).reshape(2, 200, 300).astype("uint16")
    np.testing.assert_array_equal(found[1, 50:60, 7:90].values, whole[1, 50:60, 7:90])


def test_jpeg_2000_with_tiles_beyond_memory_is_refused(picture: Path) -> None:
    content = bytearray(picture.read_bytes())
    at = content.index(b"\xff\x4f\xff\x51") + 8
    struct.pack_into(">II", content, at, 60_000, 60_000)
    struct.pack_into(">II", content, at + 16, 60_000, 60_000)
    picture.write_bytes(bytes(content))
    with pytest.raises(InvalidInput, match="declares tiles of"):
        read(picture)
    picture.write_bytes(bytes(content[:60]))
    with pytest.raises(InvalidInput, match=r"scene\.jp2"):
        read(picture)


# Which format a file is taken for


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", b"a,b\n1,2\n", "CSV"),
        ("a.txt", b"It rained. Then, in the evening, it did not.\nThe river rose\n", "Text"),
        ("a.md", b"# Rain\n", "Text"),
        ("a.csv", b"rain\n1\n", "CSV"),
        ("a.bin", b"\0\0", "Binary"),
        ("a.pkl", b"(lp0\n.", "Pickle"),
        ("a.npy", b'{"type": "Feature"}', "GeoJSON"),
        ("a.nc", b"\x93NUMPY\1\0", "NPY"),
        ("a", b"root\0\0\xee\xf8", "ROOT"),
        ("a", b"IGWD\0\x08", "GWF"),
        ("a", b"SIMPLE  =                    T", "FITS"),
        ("a", b"\x0e\x03\x13\x01", "HDF4"),
        ("a.unknown", b"what is this", None),
    ],
)
def test_content_tells_more_than_names(name: str, content: bytes, expected: str | None, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    found = format_of_file(tmp_path / name)
    assert (found.name if found else None) == expected


def test_graphs_are_offered_formats_of_values_alone() -> None:
    assert {"HDF5", "HDF4", "ROOT", "FITS", "GWF", "Filterbank", "NPY", "NPZ", "JPEG2000", "Shapefile"} <= set(
        formats()
    )
    assert not {"Text", "Binary", "Pickle"} & set(formats())
    assert format_named("pkl").name == "Pickle"


def test_writing_nothing_of_a_kind_is_refused(cube: xr.DataArray, tmp_path: Path) -> None:
    for name, value in [("Text", 3), ("Binary", "text"), ("NPY", cube.to_dataset()), ("FITS", "text"), ("Pickle", 1)]:
        with pytest.raises(InvalidInput):
            format_named(name).write(value, tmp_path / "a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidInput, match="complex"):
            format_named("FITS").write(xr.DataArray(np.zeros((2, 2), complex), dims=("y", "x")), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
