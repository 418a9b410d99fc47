"""Instants, dates and times of day as the specification writes them (RFC 3339)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_INSTANT = re.compile(r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$")
_TIME = re.compile(r"^\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$")


def is_date(text: str) -> bool:
    """Return whether `text` is a full date without a time."""
    return bool(_DATE.match(text))


def instant_or_none(text: str) -> datetime | None:
    """Return the UTC instant that a text means (a date: its first moment; a time: on one fixed day), or None.

    >>> instant_or_none("2018-01-01T12:00:00Z") == instant_or_none("2018-01-01T13:00:00+01:00")
    True
    """
    try:
        if _DATE.match(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        if _INSTANT.match(text):
            return datetime.fromisoformat(text).astimezone(UTC)
        if _TIME.match(text):
            return datetime.combine(datetime(2000, 1, 2), time.fromisoformat(text)).astimezone(UTC)
    except ValueError:
        return None
    return None
