"""Instants, dates and times of day as the openEO specification writes them (RFC 3339), and as cubes hold them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from typing import Any

import cftime
import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_INSTANT = re.compile(r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$")
_TIME = re.compile(r"^\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})?$")


def is_date(text: str) -> bool:
    """Return whether `text` is a full date without a time."""
    return bool(_DATE.match(text))


def is_time(text: str) -> bool:
    """Return whether `text` is a time of day without a date."""
    return bool(_TIME.match(text))


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
            moment = datetime.combine(datetime(2000, 1, 2), time.fromisoformat(text))
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        return None
    return None


def instant(text: Any) -> datetime:
    """Return the UTC instant that a text means.

    Raises:
        InvalidInput: It is no date or time.
    """
    found = instant_or_none(text) if isinstance(text, str) else None
    if found is None:
        raise InvalidInput(f"{text!r} is not a date or time.", hint="Write it like 2018-01-01T12:00:00Z.")
    return found


def instants64(texts: list[str]) -> np.ndarray[Any, Any]:
    """Return the instants of texts as datetime64 (ns, or us where ns would overflow).

    Raises:
        InvalidInput: One of them is no date or time.
    """
    moments = [instant(text).replace(tzinfo=None) for text in texts]
    fits = all(1678 <= moment.year < 2262 for moment in moments)
    return np.array(moments, dtype="datetime64[us]").astype("datetime64[ns]" if fits else "datetime64[us]")


def like(coordinate: xr.DataArray, text: str) -> Any:
    """Return the instant `text` as the values of a temporal coordinate are: datetime64, or cftime in its calendar."""
    moment = instant(text)
    if np.issubdtype(coordinate.dtype, np.datetime64):
        return np.datetime64(moment.replace(tzinfo=None), "us")
    calendar = coordinate.dt.calendar if coordinate.size else "standard"
    clock = (moment.hour, moment.minute, moment.second)
    return cftime.datetime(moment.year, moment.month, moment.day, *clock, calendar=calendar)


def written(value: Any) -> str:
    """Return an instant of a cube as text, like ``2018-01-01T12:00:00Z``.

    >>> written(np.datetime64("2018-01-01T12:00"))
    '2018-01-01T12:00:00Z'
    """
    if isinstance(value, np.datetime64):
        text = str(value.astype("datetime64[us]"))
        return (text.rstrip("0").rstrip(".") if "." in text else text) + "Z"
    return f"{value.isoformat()}Z"
