"""What an engine and an instance tell each other: frames of a kind and bytes, over pipes."""

from __future__ import annotations

import struct

HEADER = struct.Struct("<cQ")
SETUP, CALL = b"s", b"c"  # to the instance
READY, RESULT, FAILED = b"r", b"+", b"-"  # from it


def frame(kind: bytes, content: bytes) -> bytes:
    """Return the bytes of a frame.

    >>> taken(bytearray(frame(CALL, b"{}")))
    (b'c', b'{}')
    """
    return HEADER.pack(kind, len(content)) + content


def taken(buffer: bytearray, most: int = 1 << 40) -> tuple[bytes, bytes] | None:
    """Return (kind, content) of the first whole frame after it was taken out of the buffer, or None.

    Raises:
        ValueError: It says that it has more than `most` bytes.
    """
    if len(buffer) < HEADER.size:
        return None
    kind, length = HEADER.unpack_from(buffer)
    if length > most:
        raise ValueError(f"a frame of {length} bytes")
    end = HEADER.size + length
    if len(buffer) < end:
        return None
    content = bytes(buffer[HEADER.size : end])
    del buffer[:end]
    return bytes(kind), content
