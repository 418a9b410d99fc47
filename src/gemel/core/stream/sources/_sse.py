"""Server-sent events (WHATWG HTML, section 9.2): the lines of a stream, put together to events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gemel.base.errors import InvalidInput

_LARGEST = 4 << 20  # characters of one event


def server_sent(pieces: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    r"""Yield (event, data) of each event in a stream; comments and other fields are passed over.

    Raises:
        InvalidInput: It is not UTF-8, or an event does not end.

    >>> list(server_sent([b"event: heartbeat\ndata: {}\n", b"\n: comment\r\ndata: a\n", b"data: b\n\n"]))
    [('heartbeat', '{}'), ('message', 'a\nb')]
    """
    name, data, size = "", list[str](), 0
    for line in _lines(pieces):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        size += len(line)
        if size > _LARGEST:
            raise InvalidInput(f"The server sends an event of more than {_LARGEST:,} characters.")
        if line == "":
            if data:
                yield name or "message", "\n".join(data)
            name, data, size = "", [], 0
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    # Not the client's own lines: those end at U+2028, too, which may stand in JSON.
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > _LARGEST:
            raise InvalidInput(f"The server sends a line of more than {_LARGEST:,} bytes.")
        try:
            yield from (line.removesuffix(b"\r").decode() for line in whole)
        except UnicodeDecodeError as error:
            raise InvalidInput("The server's events are not UTF-8.") from error
