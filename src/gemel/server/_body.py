"""The body of a request, no larger than it may be."""

from __future__ import annotations

from fastapi import Request

from gemel.base.errors import InvalidInput


async def bounded_body(request: Request, largest: int) -> bytes:
    """Return the body of a request.

    Raises:
        InvalidInput: It has more than `largest` bytes; the rest is not read.
    """
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > largest:
            message = f"The request has more than {largest:,} bytes."
            raise InvalidInput(message, hint="Send fewer events at a time, or put the data into a dataset.")
        pieces.append(piece)
    return b"".join(pieces)
