"""Numbers, units and times as people read them; `web/src/format.ts` follows the same cases."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_SUPERSCRIPT = dict(zip("23456789", "²³⁴⁵⁶⁷⁸⁹", strict=True))
_SPELLED = {"1": "", "degC": "°C", "degF": "°F", "percent": "%", "degree": "°"}
_UNIT_PART = re.compile(r"([A-Za-zµ°%]+)(-?)([1-9]?)")
_NO_BREAK = "\u00a0"
_THIN = "\u202f"


def unit_label(unit: str | None) -> str:
    """Return a CF unit the way it is printed; what cannot be read comes back unchanged.

    >>> unit_label("m3 s-1"), unit_label("W m-2 K-1"), unit_label("degC"), unit_label("1")
    ('m³/s', 'W/(m² K)', '°C', '')
    """
    if not unit:
        return ""
    if unit in _SPELLED:
        return _SPELLED[unit]
    above: list[str] = []
    below: list[str] = []
    for part in unit.split():
        match = _UNIT_PART.fullmatch(part)
        if match is None or (match[2] and not match[3]):
            return unit
        printed = _SPELLED.get(match[1], match[1]) + _SUPERSCRIPT.get(match[3], "")
        (below if match[2] else above).append(printed)
    top = " ".join(above) or "1"
    if not below:
        return top
    return f"{top}/({' '.join(below)})" if len(below) > 1 else f"{top}/{below[0]}"


def number(value: float | None) -> str:
    r"""Return `value` with at most three significant digits, a true minus and thin groups; a dash when it is missing.

    >>> number(34.251), number(0.04567), number(-1250), number(98765.4), number(None)
    ('34.3', '0.0457', '−1250', '98\u202f765', '–')
    >>> number(0.5), number(12.0)
    ('0.5', '12')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-3 or size >= 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    digits = max(0, 2 - math.floor(math.log10(float(f"{size:.3g}"))))
    whole, _, padded = f"{size:.{min(digits, 5)}f}".partition(".")
    fraction = padded.rstrip("0")
    grouped = f"{int(whole):,}".replace(",", _THIN) if len(whole) > 4 else whole
    return ("−" if value < 0 else "") + grouped + (f".{fraction}" if fraction else "")


def quantity(value: float | None, unit: str | None) -> str:
    r"""Return `value` with its unit, joined by a space that does not break.

    >>> quantity(34.251, "m3 s-1")
    '34.3\xa0m³/s'
    """
    label = unit_label(unit)
    return f"{number(value)}{_NO_BREAK}{label}" if label else number(value)


def percent(share: float) -> str:
    r"""Return a share of one as percent; never a false 0 or 100.

    >>> percent(0.034), percent(0.002), percent(0.999)
    ('3\xa0%', '<1\xa0%', '>99\xa0%')
    """
    value = share * 100
    if 0 < value < 1:
        return f"<1{_NO_BREAK}%"
    if 99 < value < 100:
        return f">99{_NO_BREAK}%"
    return f"{math.floor(value + 0.5)}{_NO_BREAK}%".replace("-", "−")


def instant(text: str) -> datetime:
    """Return the UTC instant written in ISO 8601.

    Raises:
        ValueError: `text` is not a time.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def moment(text: str | None) -> str:
    """Return a time as `Thu 14 Mar 2019`, with the hour when it is not midnight; always UTC.

    >>> moment("2019-03-14T00:00:00Z"), moment("2019-03-14T06:30:00Z"), moment(None)
    ('Thu 14 Mar 2019', 'Thu 14 Mar 2019 06:30', '–')
    """
    if not text:
        return "–"
    at = instant(text)
    day = f"{at:%a} {at.day} {at:%b %Y}"
    clock = f"{at:%H:%M}"
    return day if clock == "00:00" else f"{day} {clock}"


def ago(seconds: float | None) -> str:
    r"""Return how long ago something was, in one rounded unit.

    >>> ago(0.4), ago(42), ago(200), ago(7200), ago(None)
    ('just now', '42\xa0s ago', '3\xa0min ago', '2\xa0h ago', 'never')
    """
    if seconds is None:
        return "never"
    if seconds < 1.5:
        return "just now"
    for limit, size, unit in ((100.0, 1, "s"), (5940.0, 60, "min"), (172800.0, 3600, "h"), (math.inf, 86400, "d")):
        if seconds < limit:
            return f"{math.floor(seconds / size + 0.5)}{_NO_BREAK}{unit} ago"
    return "never"


def duration(seconds: float | None) -> str:
    r"""Return a span of time in one unit.

    >>> duration(0.0042), duration(3.21), duration(200), duration(None)
    ('4\xa0ms', '3.2\xa0s', '3.3\xa0min', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f}{_NO_BREAK}ms"
    if seconds < 100:
        return f"{seconds:.1f}{_NO_BREAK}s"
    if seconds < 6000:
        return f"{seconds / 60:.1f}{_NO_BREAK}min"
    return f"{seconds / 3600:.1f}{_NO_BREAK}h"


def elapsed(run: Mapping[str, Any]) -> float | None:
    """Return the seconds between start and end of a run, or None while it has not ended."""
    if not run.get("started") or not run.get("ended"):
        return None
    return (instant(run["ended"]) - instant(run["started"])).total_seconds()


def cell(value: Any) -> str:
    """Return one cell of a table: numbers rounded, times read, everything else as text.

    >>> cell(3.14159), cell("2019-03-14T00:00:00Z"), cell(True), cell("dry")
    ('3.14', 'Thu 14 Mar 2019', 'yes', 'dry')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, int | float):
        return number(value)
    text = str(value)
    if re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)", text):
        return moment(text)
    return text
