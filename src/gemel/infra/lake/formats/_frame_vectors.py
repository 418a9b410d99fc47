"""The samples in a gravitational-wave frame: uncompressed, deflated, differences deflated, or zero-suppressed.

Codes and layouts follow LIGO-T970130-v1 (Specification of a Common Data Frame Format for Interferometric Gravitational
Wave Detectors, version 8), section 4.3.2.18 (FrVect) and appendix B (compression).
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

# Type codes of FrVect; 8 is text, which no series is made of.
TYPES = {0: "i1", 1: "i2", 2: "f8", 3: "f4", 4: "i4", 5: "i8", 6: "c8", 7: "c16", 9: "u2", 10: "u4", 11: "u8", 12: "u1"}
_LITTLE = 256  # added to the code of a compression when bytes are little-endian
_RAW, _GZIP, _DIFFERENCES = 0, 1, 3
_SUPPRESSED = {5: 2, 8: 4, 10: 8}  # bytes of a word by code
_BATCH = 1 << 16  # blocks that are unpacked at a time
_WIDTH_BITS = {2: 4, 4: 5, 8: 6}  # bits in which a block tells its width


def samples(content: bytes, compress: int, type: int, count: int) -> np.ndarray[Any, Any]:
    """Return the samples of a vector, in the machine's own order of bytes.

    Args:
        content: As stored.
        compress: Code of the compression.
        type: Code of the type.
        count: Of samples.

    Raises:
        ValueError: A code is not known, or the content does not fit.
    """
    if type not in TYPES:
        raise ValueError(f"samples of type {type} are not known")
    order = "<" if compress & _LITTLE else ">"
    dtype = np.dtype(order + TYPES[type])
    method = compress & ~_LITTLE
    if method in (_GZIP, _DIFFERENCES):
        content = _inflated(content, count * dtype.itemsize)
    elif method in _SUPPRESSED:
        return _expanded(content, _SUPPRESSED[method], order, dtype, count)
    elif method != _RAW:
        raise ValueError(f"compression {compress} is not known")
    if len(content) != count * dtype.itemsize:
        raise ValueError(f"{count} samples are declared, and {len(content)} bytes are there")
    found = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))
    return _summed(found) if method == _DIFFERENCES else found


def _summed(differences: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # Differences wrap around at the ends of the type, as the sums then do.
    if differences.dtype.kind not in "iu":
        raise ValueError("differences of numbers that are not whole are not known")
    found: np.ndarray[Any, Any] = np.cumsum(differences, dtype=differences.dtype)
    return found


def _inflated(content: bytes, size: int) -> bytes:
    machine = zlib.decompressobj()
    found = machine.decompress(content, size + 1)
    if len(found) != size or not machine.eof:
        raise ValueError(f"{size} bytes are declared, and {'more' if len(found) > size else len(found)} are there")
    return found


def _expanded(content: bytes, word: int, order: str, dtype: np.dtype[Any], count: int) -> np.ndarray[Any, Any]:
    """Return samples whose differences stand in blocks of one width in bits each.

    The words are one stream of bits, the lowest first: 16 bits for the number of differences in a block, then for each
    block its width less one, and the differences with 2^(width-1)-1 added; a width of one stands for zeros.
    """
    parts = 2 if dtype.kind == "c" else 1  # all real parts, then all imaginary ones, as frameCPP writes them
    if dtype.itemsize != parts * word:
        raise ValueError(f"words of {word} bytes cannot hold {dtype}")
    count *= parts
    padded = content + bytes(-len(content) % word)
    words = np.frombuffer(padded, np.dtype(f"{order}u{word}")).astype(f"<u{word}")
    stream = words.tobytes() + bytes(16)
    size = int.from_bytes(stream[:2], "little")
    if size == 0 and count:
        raise ValueError("its blocks are empty")
    starts, widths = _blocks(stream, len(content) * 8, _WIDTH_BITS[word], size, count)
    differences = np.zeros(len(starts) * size, np.uint64)
    table = differences.reshape(len(starts), size)
    for width in np.unique(widths):
        rows = np.flatnonzero(widths == width) if width > 1 else np.empty(0, np.int64)
        offset = np.uint64((1 << (int(width) - 1)) - 1)
        for part in np.split(rows, range(_BATCH, len(rows), _BATCH)):
            first = starts[part][:, None] + np.arange(size, dtype=np.int64) * int(width)
            table[part] = _bits(stream, first, int(width)) - offset
    summed = np.cumsum(differences[:count], dtype=np.uint64).astype(f"u{word}")
    if parts == 2:
        real, imaginary = summed.view(f"f{word}").reshape(2, -1)
        return np.ascontiguousarray(np.stack([real, imaginary], axis=-1)).view(dtype.newbyteorder("="))[:, 0]
    return summed.view(dtype.newbyteorder("="))


def _blocks(
    stream: bytes, end: int, width_bits: int, size: int, count: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the bit at which the differences of each block begin, and their width."""
    starts, widths = [], []
    position, mask = 16, (1 << width_bits) - 1
    for done in range(0, count, size):
        if position + width_bits > end:
            raise ValueError("it ends early")
        at = position >> 3
        width = 1 + ((stream[at] | stream[at + 1] << 8) >> (position & 7) & mask)
        position += width_bits
        starts.append(position)
        widths.append(width)
        position += (width if width > 1 else 0) * min(size, count - done)
    if position > end:
        raise ValueError("it ends early")
    return np.array(starts, np.int64), np.array(widths, np.int64)


def _bits(stream: bytes, first: np.ndarray[Any, Any], width: int) -> np.ndarray[Any, Any]:
    """Return the numbers of `width` bits that begin at the bits `first`; those beyond the stream's end are nothing."""
    whole = np.frombuffer(stream, np.uint8)
    at = np.minimum(first >> 3, len(whole) - 9)
    shift = (first & 7).astype(np.uint64)
    found = np.zeros(first.shape, np.uint64)
    for byte in range(8):
        found |= whole[at + byte].astype(np.uint64) << np.uint64(8 * byte)
    found >>= shift
    # A number that begins inside a byte may reach into a ninth one.
    ninth = whole[at + 8].astype(np.uint64)
    found |= np.where(shift > 0, ninth << ((np.uint64(64) - shift) & np.uint64(63)), np.uint64(0))
    return found if width == 64 else found & np.uint64((1 << width) - 1)
