"""Instants and durations: always UTC, always ISO 8601 on the wire."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from gemel.base.errors import InvalidInput, did_you_mean

# Durations that people write in twin.toml; calendar months and years are left out because they have no fixed length.
_SECONDS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "week": 604800.0,
}
_DURATION = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]+)\s*$")


def utc_now() -> datetime:
    """Return the present instant with its UTC zone."""
    return datetime.now(UTC)


def iso(instant: datetime | None) -> str | None:
    """Return `instant` as ISO 8601 in UTC with a ``Z``, or None for None.

    >>> iso(datetime(1988, 3, 12, 6, tzinfo=UTC))
    '1988-03-12T06:00:00Z'
    """
    if instant is None:
        return None
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_instant(text: str) -> datetime:
    """Return the UTC instant written in `text` (a date, or a date and time; no zone means UTC).

    Raises:
        InvalidInput: `text` is not ISO 8601.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInput(f"'{text}' is not a date or time.", hint="Write it like 1988-03-12T06:00Z.") from error
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def parse_duration(text: str) -> timedelta:
    """Return the duration written in `text`.

    Raises:
        InvalidInput: The number or the unit cannot be read.

    >>> parse_duration("1 d"), parse_duration("90min")
    (datetime.timedelta(days=1), datetime.timedelta(seconds=5400))
    """
    match = _DURATION.match(text.lower())
    if match is None:
        raise InvalidInput(f"'{text}' is not a duration.", hint="Write a number and a unit, like '1 d' or '15 min'.")
    number, written = match.groups()
    unit = written if written in _SECONDS else written.removesuffix("s")
    if unit not in _SECONDS:
        hint = did_you_mean(unit, _SECONDS) or f"Known units: {', '.join(_SECONDS)}."
        raise InvalidInput(f"'{unit}' in '{text}' is not a unit of duration.", hint=hint)
    return timedelta(seconds=float(number) * _SECONDS[unit])
