"""Reading Zarr lazily, chunks decoded straight into the array that was asked for.

Zarr's own pipeline decodes each chunk into a buffer of its own and copies it from there; for chunks with an ordinary
compressor in a local folder that copy, and the event loop around it, cost as much as decoding does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numcodecs.abc import Codec
from numcodecs.blosc import Blosc
from numcodecs.gzip import GZip
from numcodecs.zstd import Zstd
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, ZstdCodec
from zarr.storage import LocalStore

from gemel.base.errors import InvalidInput
from gemel.infra.lake._lazy import Window, lazy_variable

_DAMAGE = (RuntimeError, ValueError, OSError, EOFError)
_COMPRESSORS: tuple[tuple[type[Any], type[Codec]], ...] = ((ZstdCodec, Zstd), (BloscCodec, Blosc), (GzipCodec, GZip))


def zarr_variable(
    array: zarr.Array[Any], dimensions: Sequence[Hashable], attributes: Mapping[Any, Any] | None = None
) -> xr.Variable:
    """Return a variable whose values are read from `array` when they are used.

    Args:
        array: The array; of any number of dimensions but none.
        dimensions: Their names.
        attributes: Attributes of the variable.
    """
    chunks = dict(zip(map(str, dimensions), array.chunks, strict=True))
    reader = _Reader(array)
    variable = lazy_variable(list(chunks), array.shape, array.dtype, reader.read, attrs=attributes, chunks=chunks)
    variable.encoding |= {
        "chunks": array.chunks,
        "stored_bytes": array.nbytes_stored,
        "original_shape": array.shape,
    }
    return variable


class _Reader:
    def __init__(self, array: zarr.Array[Any]) -> None:
        self._array = array
        self._codec = _plain_codec(array)

    def read(self, window: Window) -> Any:
        """Return the cells of a window.

        Raises:
            InvalidInput: A chunk is damaged.
        """
        if self._codec is None:
            return self._by_zarr(window)
        result = np.empty([part.stop - part.start for part in window], self._array.dtype)
        for chunk, inside, outside in _covering(window, self._array.chunks):
            self._fill(result[outside], chunk, inside)
        return result

    def _by_zarr(self, window: Window) -> Any:
        try:
            return self._array[window]
        except _DAMAGE as error:
            raise InvalidInput(f"A chunk of '{self._array.basename}' is damaged: {error}.") from error

    def _fill(self, target: np.ndarray[Any, Any], chunk: tuple[int, ...], inside: Window) -> None:
        store = self._array.store
        assert isinstance(store, LocalStore)
        path = store.root / self._array.store_path.path / self._array.metadata.encode_chunk_key(chunk)
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            target[...] = self._array.fill_value  # a chunk that was never written
            return
        whole = target.shape == self._array.chunks and target.flags.c_contiguous
        buffer = target if whole else np.empty(self._array.chunks, self._array.dtype)
        try:
            decode_into(buffer, stored, self._codec)
        except _DAMAGE as error:
            raise InvalidInput(f"Chunk {chunk} of '{self._array.basename}' is damaged: {error}.") from error
        if not whole:
            target[...] = buffer[inside]


def decode_into(buffer: np.ndarray[Any, Any], stored: bytes, codec: Any) -> None:
    """Fill `buffer`, contiguous, with the decoded chunk.

    The decoders of numcodecs leave the rest of a buffer as it is when a chunk holds less than fits, so what the chunk says
    of its size is looked at first, and one that does not say it is decoded on its own and measured.

    Raises:
        ValueError: The chunk holds more or less than the buffer, or was cut off.
        RuntimeError: It cannot be decoded; likewise `OSError` and `EOFError`.
    """
    size = len(stored) if codec is RAW else _SIZES[type(codec)](stored)
    if size == buffer.nbytes and codec is not RAW:
        codec.decode(stored, buffer)
        return
    if size is not None and size > buffer.nbytes:
        raise ValueError(f"it holds {size} bytes instead of {buffer.nbytes}")
    content = stored if codec is RAW else codec.decode(stored)
    held = len(content)
    if held != buffer.nbytes:
        raise ValueError(f"it holds {held} bytes instead of {buffer.nbytes}")
    buffer.reshape(-1)[...] = np.frombuffer(content, buffer.dtype)


def _covering(window: Window, chunks: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Window, Window]]:
    """Yield the index of each chunk that holds something wanted, the part of it, and where that goes."""
    per_dimension = [list(_pieces(part.start, part.stop, size)) for part, size in zip(window, chunks, strict=True)]
    for pieces in itertools.product(*per_dimension):
        yield tuple(p[0] for p in pieces), tuple(p[1] for p in pieces), tuple(p[2] for p in pieces)


def _pieces(start: int, stop: int, size: int) -> Iterator[tuple[int, slice, slice]]:
    for number in range(start // size, -(-stop // size) if stop > start else start // size):
        first = number * size
        low, high = max(start, first), min(stop, first + size)
        yield number, slice(low - first, high - first), slice(low - start, high - start)


def _plain_codec(array: zarr.Array[Any]) -> Any:
    """Return what decodes chunks in place, `RAW` for chunks that are not compressed, None for what zarr must do."""
    if not isinstance(array.store, LocalStore) or array.dtype.hasobject or array.dtype.byteorder == ">":
        return None
    metadata = array.metadata
    if metadata.zarr_format == 2:
        known = metadata.compressor is None or type(metadata.compressor) in _SIZES
        plain = known and metadata.order == "C" and not metadata.filters
        return (metadata.compressor or RAW) if plain else None
    serializer, *rest = metadata.codecs
    little = isinstance(serializer, BytesCodec) and (serializer.endian is None or serializer.endian.value == "little")
    if not little or len(rest) > 1:
        return None
    if not rest:
        return RAW
    return next((codec() for known, codec in _COMPRESSORS if isinstance(rest[0], known)), None)


def _blosc_size(stored: bytes) -> int:
    # Blosc chunk format, header: 32-bit numbers, the size of the content at byte 4 and that of the chunk at byte 12. The
    # decoder believes the latter and would read on behind the end of a chunk that was cut off.
    if len(stored) < 16 or int.from_bytes(stored[12:16], "little") != len(stored):
        raise ValueError("it was cut off")
    return int.from_bytes(stored[4:8], "little")


def _zstd_size(stored: bytes) -> int | None:
    # RFC 8878, section 3.1.1.1: magic number, descriptor, window (unless one segment), dictionary, size of the content.
    if len(stored) < 18 or stored[:4] != b"\x28\xb5\x2f\xfd":
        return None
    flag, single, dictionary = stored[4] >> 6, stored[4] >> 5 & 1, stored[4] & 3
    start = 5 + (1 - single) + (0, 1, 2, 4)[dictionary]
    width = (single, 2, 4, 8)[flag]
    size = int.from_bytes(stored[start : start + width], "little") + (256 if flag == 1 else 0)
    return size if width else None


RAW: Any = object()
_SIZES: dict[type[Any], Callable[[bytes], int | None]] = {
    Zstd: _zstd_size,
    Blosc: _blosc_size,
    # The size at the end of a gzip file is that of its last member, and need not be the whole.
    GZip: lambda _stored: None,
}
