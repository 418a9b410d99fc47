"""Amounts of memory as people write them: '4 GB' (powers of ten), '4 GiB' (powers of two)."""

from __future__ import annotations

import re

from gemel.base.errors import InvalidInput

_PREFIXES = ("", "k", "M", "G", "T", "P")
_BYTES = {f"{prefix}B".lower(): 1000**power for power, prefix in enumerate(_PREFIXES)}
_BYTES |= {f"{prefix}iB".lower(): 1024**power for power, prefix in enumerate(_PREFIXES) if prefix}
_SIZE = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]+)\s*$")


def parse_size(text: str) -> int:
    """Return the number of bytes written in `text` (prefixes of IEC 80000-13).

    Raises:
        InvalidInput: The number or the unit cannot be read.

    >>> parse_size("4 GB"), parse_size("1.5KiB")
    (4000000000, 1536)
    """
    match = _SIZE.match(text.lower())
    if match is None or match.group(2) not in _BYTES:
        raise InvalidInput(f"'{text}' is not an amount of memory.", hint="Write a number and a unit, like '4 GB'.")
    return int(float(match.group(1)) * _BYTES[match.group(2)])


def spoken_size(size: float) -> str:
    """Return `size` in bytes as people read it.

    >>> spoken_size(1_150_000_000)
    '1.15 GB'
    """
    power = 0
    while abs(size) >= 1000 and power < len(_PREFIXES) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.3g} {_PREFIXES[power]}B"
