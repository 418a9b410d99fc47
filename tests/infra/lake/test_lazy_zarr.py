"""Zarr chunks decoded where they are wanted: the same cells as zarr's own, and never what memory happened to hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs.gzip import GZip
from numcodecs.zstd import Zstd
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from gemel.base.errors import InvalidInput
from gemel.infra.lake.lazy_zarr import zarr_variable

_CODECS = {"zstd": ZstdCodec(), "blosc": BloscCodec(), "gzip": GzipCodec(), "raw": None}
_SHAPE, _CHUNKS = (7, 10, 12), (3, 4, 5)


def _stored(folder: Path, codec: str, dtype: str = "f4") -> tuple[zarr.Array[Any], np.ndarray[Any, Any]]:
    values = np.random.default_rng(1).normal(0, 1000, _SHAPE).astype(dtype)
    array = zarr.create_array(folder / "a.zarr", shape=_SHAPE, chunks=_CHUNKS, dtype=dtype, compressors=_CODECS[codec])
    array[:] = values
    return array, values


def _chunk(folder: Path) -> Path:
    return folder / "a.zarr" / "c" / "1" / "1" / "1"


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", ">f4", "?"])
@pytest.mark.parametrize("codec", list(_CODECS))
def test_every_cell_is_the_one_that_was_stored(tmp_path, codec, dtype):
    array, values = _stored(tmp_path, codec, dtype)
    assert np.array_equal(zarr_variable(array, ("t", "y", "x")).values, values)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*(st.tuples(st.integers(-9, 13), st.integers(-9, 13), st.integers(1, 3)) for _ in _SHAPE)))
def test_any_window_is_that_of_numpy(tmp_path_factory, bounds):
    array, values = _stored(tmp_path_factory.mktemp("window"), "zstd")
    window = tuple(slice(*part) for part in bounds)
    found = zarr_variable(array, ("t", "y", "x"))[window]
    assert np.array_equal(found.values, values[window])


def test_a_chunk_that_was_never_written_is_the_fill_value(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4,), chunks=(2,), dtype="f4", fill_value=7)
    array[:2] = 1
    assert zarr_variable(array, ("x",)).values.tolist() == [1, 1, 7, 7]


@pytest.mark.parametrize("cells", [1, 30, 200])
@pytest.mark.parametrize("codec", list(_CODECS))
def test_a_chunk_of_another_size_is_damaged(tmp_path, codec, cells):
    array, _ = _stored(tmp_path, codec)
    other = zarr.create_array(
        tmp_path / "other.zarr", shape=(cells,), chunks=(cells,), dtype="f4", compressors=_CODECS[codec]
    )
    other[:] = 1
    (tmp_path / "other.zarr" / "c" / "0").replace(_chunk(tmp_path))
    with pytest.raises(InvalidInput, match=r"Chunk \(1, 1, 1\) of 'a.zarr' is damaged|is damaged"):
        _ = zarr_variable(array, ("t", "y", "x")).values


@pytest.mark.parametrize("codec", list(_CODECS))
def test_a_chunk_that_was_cut_off_is_damaged(tmp_path, codec):
    array, _ = _stored(tmp_path, codec)
    _chunk(tmp_path).write_bytes(_chunk(tmp_path).read_bytes()[:-9])
    with pytest.raises(InvalidInput, match="damaged"):
        _ = zarr_variable(array, ("t", "y", "x")).values


@pytest.mark.parametrize("compressor", [Zstd(), GZip(), None])
def test_stores_of_version_2_are_read_too(tmp_path, compressor):
    values = np.arange(120.0).reshape(10, 12)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(10, 12), chunks=(4, 5), dtype="f8", zarr_format=2, compressors=compressor
    )
    array[:] = values
    variable = zarr_variable(array, ("y", "x"))
    xr.testing.assert_equal(variable[2:9, 3:11].load(), xr.Variable(("y", "x"), values[2:9, 3:11]))
