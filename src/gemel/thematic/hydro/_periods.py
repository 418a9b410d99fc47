"""Spans of time written as text, so that a split is a plain JSON value."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput

_SPAN = re.compile(r"^\s*(\d{4}(?:-\d{2}(?:-\d{2})?)?)\s*/\s*(\d{4}(?:-\d{2}(?:-\d{2})?)?)\s*$")


def spans(text: str) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Return the first and last day of each span in `text`: ISO 8601 intervals, ends included, parted by commas.

    Args:
        text: Such as `1980/1984` or `1980/1982,1986-07/1988-12-31`.

    Raises:
        InvalidInput: The text is no such list, or a span ends before it starts.

    >>> [str(t.date()) for t in spans("1980/1984-06")[0]]
    ['1980-01-01', '1984-06-30']
    """
    out = []
    for part in text.split(","):
        found = _SPAN.match(part)
        try:
            ends = [pd.Period(e) for e in found.groups()] if found else []
        except ValueError:
            ends = []
        if len(ends) != 2 or ends[1].end_time < ends[0].start_time:
            raise InvalidInput(
                f"'{text}' is not a list of periods.", hint="Write first/last, such as 1980/1984.", period=text
            )
        out.append((ends[0].start_time, ends[1].end_time.normalize()))
    return out


def within(time: NDArray[np.datetime64] | pd.DatetimeIndex, text: str) -> NDArray[np.bool_]:
    """Return which days of `time` lie in the spans of `text`."""
    days = pd.DatetimeIndex(time)
    mask = np.zeros(len(days), dtype=bool)
    for first, last in spans(text):
        mask |= np.asarray((days >= first) & (days <= last))
    return mask
