"""Dates and instants (openEO process specification, group `date & time`)."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from gemel.base.errors import InvalidInput
from gemel.core.cubes import instant_or_none, is_date
from gemel.core.processes._standard import standard

_SECONDS = {"millisecond": 0.001, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0}
_MONTHS = {"month": 1, "year": 12}
Step = Literal["millisecond", "second", "minute", "hour", "day", "week", "month", "year"]


@standard
def date_between(x: str, min: str, max: str, exclude_max: bool = False) -> bool:
    """Whether an instant lies between two others, the first one included.

    Args:
        x: The instant.
        min: Lower bound, included.
        max: Upper bound, included unless told otherwise.
        exclude_max: Whether the upper bound itself lies outside.
    """
    instant, low, high = _instant(x), _instant(min), _instant(max)
    return low <= instant < high if exclude_max else low <= instant <= high


@standard
def date_difference(date1: str, date2: str, unit: Step = "second") -> float:
    """How long it is from one instant to another, negative when the second comes first.

    Args:
        date1: The first instant.
        date2: The second instant.
        unit: Unit of the answer; months and years count whole ones and the share of the last.
    """
    first, second = _instant(date1), _instant(date2)
    if unit in _MONTHS:
        return _tidy(_months_between(first, second) / _MONTHS[unit])
    return _tidy((second - first).total_seconds() / _SECONDS[unit])


@standard
def date_shift(date: str, value: int, unit: Step) -> str:
    """An instant moved by some units; a day that the month does not have becomes its last one.

    Args:
        date: The instant; a date without a time gives a date.
        value: How many units.
        unit: Unit.
    """
    moment = datetime.fromisoformat(date.upper())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if unit in _MONTHS:
        moved = _shift_months(moment, value * _MONTHS[unit])
    else:
        moved = moment + timedelta(seconds=value * _SECONDS[unit])
    if is_date(date):
        return moved.date().isoformat()
    fraction = "milliseconds" if moved.microsecond else "seconds"
    return moved.isoformat(timespec=fraction).replace("+00:00", "Z")


def _instant(text: str) -> datetime:
    found = instant_or_none(text)
    if found is None:
        raise InvalidInput(f"'{text}' is not a date or time.", hint="Write it like 2018-01-01T12:00:00Z.")
    return found


def _shift_months(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))


def _months_between(first: datetime, second: datetime) -> float:
    whole = (second.year - first.year) * 12 + second.month - first.month
    if _shift_months(first, whole) > second:
        whole -= 1
    begin, end = _shift_months(first, whole), _shift_months(first, whole + 1)
    return whole + (second - begin) / (end - begin)


def _tidy(number: float) -> Any:
    return int(number) if number.is_integer() else number
