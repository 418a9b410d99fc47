"""Reading Zarr lazily, chunks decoded straight into the array that was asked for.

Zarr's own pipeline decodes each chunk into a buffer of its own and copies it from there; for chunks with an ordinary
compressor in a local folder that copy, and the event loop around it, cost as much as decoding does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numcodecs.abc import Codec
from numcodecs.blosc import Blosc
from numcodecs.gzip import GZip
from numcodecs.zstd import Zstd
from xarray.backends import BackendArray
from xarray.core import indexing
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, ZstdCodec
from zarr.storage import LocalStore

from gemel.base.errors import InvalidInput

_COMPRESSORS: tuple[tuple[type[Any], type[Codec]], ...] = ((ZstdCodec, Zstd), (BloscCodec, Blosc), (GzipCodec, GZip))


def lazy_variable(
    array: zarr.Array[Any], dimensions: tuple[Hashable, ...], attributes: Mapping[str, Any] | None = None
) -> xr.Variable:
    """Return a variable whose values are read from `array` when they are used."""
    variable = xr.Variable(dimensions, indexing.LazilyIndexedArray(_ZarrArray(array)), attributes)
    variable.encoding = {
        "chunks": array.chunks,
        "preferred_chunks": dict(zip(dimensions, array.chunks, strict=True)),
        "stored_bytes": array.nbytes_stored,
        "original_shape": array.shape,
    }
    return variable


class _ZarrArray(BackendArray):
    def __init__(self, array: zarr.Array[Any]) -> None:
        self.shape = array.shape
        self.dtype = array.dtype
        self._array = array
        self._decode = _decoder(array)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[int | slice, ...]) -> Any:
        spans = [_span(item, size) for item, size in zip(key, self.shape, strict=True)]
        if self._decode is None or None in spans or not self.shape:
            return self._by_zarr(key)
        wanted = [span for span in spans if span is not None]
        result = np.empty([stop - start for start, stop in wanted], self.dtype)
        for chunk, inside, outside in _covering(wanted, self._array.chunks):
            self._fill(result[outside], chunk, inside)
        return result.reshape(_shape(key, result.shape))

    def _by_zarr(self, key: tuple[int | slice, ...]) -> Any:
        try:
            return self._array[key]
        except (RuntimeError, ValueError, OSError) as error:
            raise InvalidInput(f"A chunk of '{self._array.basename}' is damaged: {error}.") from error

    def _fill(self, target: np.ndarray[Any, Any], chunk: tuple[int, ...], inside: tuple[slice, ...]) -> None:
        store = self._array.store
        assert isinstance(store, LocalStore)
        path = store.root / self._array.store_path.path / self._array.metadata.encode_chunk_key(chunk)
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            target[...] = self._array.fill_value  # a chunk that was never written
            return
        assert self._decode is not None
        whole = target.shape == self._array.chunks and target.flags.c_contiguous
        buffer = target if whole else np.empty(self._array.chunks, self.dtype)
        try:
            self._decode(stored, buffer)
        except (RuntimeError, ValueError, OSError) as error:
            raise InvalidInput(f"Chunk {chunk} of '{self._array.basename}' is damaged: {error}.") from error
        if not whole:
            target[...] = buffer[inside]


def _shape(key: tuple[int | slice, ...], full: tuple[int, ...]) -> list[int]:
    return [size for item, size in zip(key, full, strict=True) if isinstance(item, slice)]


def _span(item: int | slice, size: int) -> tuple[int, int] | None:
    if isinstance(item, slice):
        start, stop, step = item.indices(size)
        return (start, max(start, stop)) if step == 1 else None
    position = item + size if item < 0 else item
    return position, position + 1


def _covering(
    wanted: list[tuple[int, int]], chunks: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
    """Yield the index of each chunk that holds something wanted, the part of it, and where that goes."""
    per_dimension = [list(_pieces(start, stop, size)) for (start, stop), size in zip(wanted, chunks, strict=True)]
    for pieces in itertools.product(*per_dimension):
        yield tuple(p[0] for p in pieces), tuple(p[1] for p in pieces), tuple(p[2] for p in pieces)


def _pieces(start: int, stop: int, size: int) -> Iterator[tuple[int, slice, slice]]:
    for number in range(start // size, -(-stop // size) if stop > start else start // size):
        first = number * size
        low, high = max(start, first), min(stop, first + size)
        yield number, slice(low - first, high - first), slice(low - start, high - start)


def _decoder(array: zarr.Array[Any]) -> Callable[[bytes, np.ndarray[Any, Any]], None] | None:
    """Return how a chunk is decoded in place, or None when that is better left to zarr."""
    if not isinstance(array.store, LocalStore) or array.dtype.hasobject or array.dtype.byteorder == ">":
        return None
    codec = _plain_codec(array)
    if codec is None:
        return None

    def decode(stored: bytes, out: np.ndarray[Any, Any]) -> None:
        if codec is _RAW:
            out.reshape(-1)[...] = np.frombuffer(stored, out.dtype)
            return
        codec.decode(stored, out)

    return decode


_RAW: Any = object()


def _plain_codec(array: zarr.Array[Any]) -> Any:
    metadata = array.metadata
    if metadata.zarr_format == 2:
        plain = metadata.order == "C" and not metadata.filters
        return (metadata.compressor or _RAW) if plain else None
    serializer, *rest = metadata.codecs
    little = isinstance(serializer, BytesCodec) and (serializer.endian is None or serializer.endian.value == "little")
    if not little or len(rest) > 1:
        return None
    if not rest:
        return _RAW
    return next((codec() for known, codec in _COMPRESSORS if isinstance(rest[0], known)), None)
