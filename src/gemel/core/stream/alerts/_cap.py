"""Alerts in the words of the Common Alerting Protocol (OASIS CAP 1.2, 2010): who is told what, how sure, where, and until when."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from gemel.base.clock import parse_instant
from gemel.base.errors import InvalidInput
from gemel.core.stream.alerts._outlet import OVER, Duration, Notice, OutletContext, seconds
from gemel.core.stream.events import Event

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
_HEADLINE = 160  # characters: what a short message holds (section 3.2.2)
# What XML 1.0 (section 2.2) has no way to write.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Severity = Literal["Extreme", "Severe", "Moderate", "Minor", "Unknown"]


def _code(value: str) -> str:
    # Sections 3.2.1: no spaces, commas or restricted characters (< and &).
    if re.search(r"[\s,<&]", value):
        raise ValueError(f"'{value}' has a space, a comma, < or & in it, which CAP does not allow there")
    return value


def _ring(value: str) -> str:
    points = [point.split(",") for point in value.split()]
    try:
        pairs = [(float(latitude), float(longitude)) for latitude, longitude in points]
    except ValueError as error:
        raise ValueError("a polygon is written 'lat,lon lat,lon …' in degrees (WGS 84)") from error
    if len(pairs) < 4 or pairs[0] != pairs[-1]:
        raise ValueError("a polygon has four points or more, the last one being the first again")
    if not all(-90 <= latitude <= 90 and -180 <= longitude <= 180 for latitude, longitude in pairs):
        raise ValueError("a point of the polygon is not on earth")
    if any(abs(second[1] - first[1]) > 180 for first, second in pairwise(pairs)):
        raise ValueError("a polygon that crosses the 180th meridian must be split there")
    return " ".join(",".join(point) for point in points)


Code = Annotated[str, AfterValidator(_code)]


class CapSettings(BaseModel):
    """What CAP asks for and no alert says.

    Attributes:
        sender: Who warns: unique in the world, such as ``warnings@example.org``.
        sender_name: The same for people.
        status: ``Actual``, ``Exercise``, ``System``, ``Test`` or ``Draft``; default ``Actual``, and ``Exercise`` for a
            twin all of whose sources are played back, which may not say ``Actual``.
        scope: ``Public``, or ``Restricted`` by `restriction`, or ``Private`` to `addresses`.
        language: RFC 3066 code of the texts; they are English.
        category: Kind of danger (section 3.2.2).
        severity: Severity for each `level` of the alerts; a level that is not named is ``Unknown``.
        lasts: How long the danger of one alert lasts: it expires so long after it begins.
        instruction: What people should do.
        web: Address where more is said.
        contact: Whom to ask.
        area: Words for the area (default: the place).
        polygon: ``lat,lon lat,lon …``, closed.
        radius: Kilometres around the twin's place, where it has both coordinates.
        geocode: Codes of the area, such as ``{ EMMA_ID = "DE001" }``.
    """

    sender: Code = ""
    sender_name: str = ""
    status: Literal["Actual", "Exercise", "System", "Test", "Draft"] | None = None
    scope: Literal["Public", "Restricted", "Private"] = "Public"
    restriction: str = ""
    addresses: tuple[Code, ...] = ()
    language: str = "en-GB"
    category: Literal[
        "Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env", "Transport", "Infra", "CBRNE", "Other"
    ] = "Met"
    severity: dict[str, Severity] = {}
    lasts: Duration = "1 d"
    instruction: str = ""
    web: str = ""
    contact: str = ""
    area: str = ""
    polygon: Annotated[str, AfterValidator(_ring)] | None = None
    radius: Annotated[float, Field(ge=0, le=20_100)] = 0.0
    geocode: dict[str, str] = {}

    @model_validator(mode="after")
    def _scoped(self) -> CapSettings:
        if (self.scope == "Restricted") != bool(self.restriction):
            raise ValueError("scope 'Restricted' and 'restriction' go together")
        if (self.scope == "Private") != bool(self.addresses):
            raise ValueError("scope 'Private' and 'addresses' go together")
        return self

    def require_sender(self) -> None:
        """Raise `ValueError` when nobody warns."""
        if not self.sender:
            raise ValueError("sender: say who warns, such as 'warnings@example.org'")

    def require_exercise(self, context: OutletContext) -> None:
        """Raise `InvalidInput` when what is played back would be given out for real."""
        if context.about.exercise and self.status == "Actual":
            message = f"Outlet '{context.name}': all sources of twin '{context.about.twin}' are played back."
            raise InvalidInput(message, hint="Its alerts have status 'Exercise' (or 'Test'), not 'Actual'.")


def cap_identifier(notice: Notice) -> str:
    """Return the identifier of an alert's message: the same each time, and another one in every engine's log."""
    return _identifier(notice.about.twin, notice.event)


def cap_document(notice: Notice, settings: CapSettings) -> bytes | None:
    """Return the CAP 1.2 message of an alert, or None where a danger is over that nobody was warned of.

    Args:
        notice: The alert. With earlier ones that have not expired the message is an ``Update`` of them, and a
            ``Cancel`` when the danger is over; else an ``Alert``.
        settings: What CAP asks for beside it.

    Raises:
        InvalidInput: The alert's times cannot be read.
    """
    event, about = notice.event, notice.about
    effective = _effective(event)
    standing = [other for other in notice.earlier if _expires(other, settings) > effective]
    if event.type == OVER and not standing:
        return None
    kind = "Cancel" if event.type == OVER else "Update" if standing else "Alert"
    status = settings.status or ("Exercise" if about.exercise else "Actual")
    root = ET.Element("alert", {"xmlns": NAMESPACE})
    note = "Exercise: the observations are played back, and the times are those of the record."
    told = [
        ("identifier", cap_identifier(notice)),
        ("sender", settings.sender),
        ("sent", cap_time(event.time)),
        ("status", status),
        ("msgType", kind),
        ("scope", settings.scope),
        ("restriction", settings.restriction),
        ("addresses", " ".join(settings.addresses)),
        ("note", note if status == "Exercise" and about.exercise else ""),
        ("references", " ".join(_reference(about.twin, settings.sender, other) for other in standing)),
    ]
    _fill(root, told)
    _fill_info(ET.SubElement(root, "info"), notice, settings, kind)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'.encode()


def cap_time(instant: datetime) -> str:
    """Return an instant as CAP writes it (section 3.3.2): never with a Z, and UTC as ``-00:00``.

    >>> cap_time(datetime(2001, 1, 1, 12, tzinfo=UTC))
    '2001-01-01T12:00:00-00:00'
    """
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S}-00:00"


def certainty(data: Mapping[str, Any]) -> str:
    """Return CAP's word for a probability (section 3.2.2): likely above about 50 %, possible up to it, unlikely near 0.

    >>> [certainty({"probability": chance}) for chance in (0.51, 0.5, 0.01, None)]
    ['Likely', 'Possible', 'Unlikely', 'Unknown']
    """
    chance = data.get("probability")
    if data.get("observed") is True:
        return "Observed"
    if isinstance(chance, bool) or not isinstance(chance, (int, float)):
        return "Unknown"
    # The standard says p ~ 0; below one in twenty we take it for that.
    return "Likely" if chance > 0.5 else "Possible" if chance >= 0.05 else "Unlikely"


def urgency(wait: timedelta) -> str:
    """Return CAP's word for the time until a danger begins (section 3.2.2): now, within the next hour, or later.

    >>> urgency(timedelta(0)), urgency(timedelta(minutes=30)), urgency(timedelta(days=2))
    ('Immediate', 'Expected', 'Future')
    """
    if wait <= timedelta(0):
        return "Immediate"
    return "Expected" if wait <= timedelta(hours=1) else "Future"


def _fill_info(info: ET.Element, notice: Notice, settings: CapSettings, kind: str) -> None:
    event, about = notice.event, notice.about
    over, data = kind == "Cancel", event.data
    onset, effective = _onset(event), _effective(event)
    place = _text(data.get("place")) or _text(about.place) or about.twin
    name = _text(data.get("event")) or "danger"
    times = (
        []
        if over
        else [
            ("effective", cap_time(effective)),
            ("onset", cap_time(onset)),
            ("expires", cap_time(_expires(event, settings))),
        ]
    )
    told = [
        ("language", settings.language),
        ("category", settings.category),
        ("event", name),
        ("responseType", "AllClear" if over else ""),
        ("urgency", "Past" if over else urgency(onset - effective)),
        ("severity", settings.severity.get(str(data.get("level")), "Unknown")),
        ("certainty", "Unlikely" if over else certainty(data)),
        *times,
        ("senderName", settings.sender_name or _text(about.title) or about.twin),
        ("headline", _headline(name, place, data, onset, over)),
        ("description", _description(data, about.title or about.twin, over)),
        ("instruction", "" if over else settings.instruction),
        ("web", settings.web),
        ("contact", settings.contact or about.contact),
    ]
    _fill(info, told)
    for parameter in ("level", "probability", "threshold", "unit", "lead_days", "limit", "issued", "valid", "run"):
        if data.get(parameter) is not None:
            _fill(ET.SubElement(info, "parameter"), [("valueName", parameter), ("value", str(data[parameter]))])
    _fill_area(ET.SubElement(info, "area"), notice, settings, place)


def _fill_area(area: ET.Element, notice: Notice, settings: CapSettings, place: str) -> None:
    about, data = notice.about, notice.event.data
    latitude, longitude = data.get("latitude", about.latitude), data.get("longitude", about.longitude)
    here = isinstance(latitude, (int, float)) and isinstance(longitude, (int, float))
    told = [
        ("areaDesc", _text(settings.area) or (f"{place} ({about.place})" if about.place not in ("", place) else place)),
        ("polygon", settings.polygon or ""),
        ("circle", f"{latitude},{longitude} {settings.radius:g}" if here and not settings.polygon else ""),
    ]
    _fill(area, told)
    for name, value in settings.geocode.items():
        _fill(ET.SubElement(area, "geocode"), [("valueName", name), ("value", value)])


def _headline(name: str, place: str, data: Mapping[str, Any], onset: datetime, over: bool) -> str:
    level = f" ({data['level']})" if data.get("level") else ""
    if over:
        return f"{name.capitalize()}{level}: over, {place}"[:_HEADLINE]
    chance = data.get("probability")
    sure = f", {100 * chance:.0f} %" if isinstance(chance, (int, float)) else ""
    return f"{name.capitalize()}{level}: {place}, {onset:%Y-%m-%d %H:%M} UTC{sure}"[:_HEADLINE]


def _description(data: Mapping[str, Any], twin: str, over: bool) -> str:
    what = f"{data.get('event', 'danger')} at {data.get('place', 'the place')}"
    if over:
        return f"The twin '{twin}' no longer expects {what}."
    chance, threshold = data.get("probability"), data.get("threshold")
    sure = f" with a probability of {100 * chance:.0f} %" if isinstance(chance, (int, float)) else ""
    unit = f" {data['unit']}" if data.get("unit") else ""
    beyond = f" The threshold is {threshold:g}{unit}." if isinstance(threshold, (int, float)) else ""
    return f"The twin '{twin}' expects {what}{sure}.{beyond}"


def _identifier(twin: str, event: Event) -> str:
    id = event.id.partition("~")[0]
    # The moment tells engines apart whose logs count from one.
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"gemel.{twin}.{id}.{event.time.astimezone(UTC):%Y%m%dT%H%M%S%f}")


def _reference(twin: str, sender: str, event: Event) -> str:
    return f"{sender},{_identifier(twin, event)},{cap_time(event.time)}"


def _effective(event: Event) -> datetime:
    issued = event.data.get("issued")
    return parse_instant(str(issued)) if issued else event.time


def _onset(event: Event) -> datetime:
    valid = event.data.get("valid")
    return parse_instant(str(valid)) if valid else _effective(event)


def _expires(event: Event, settings: CapSettings) -> datetime:
    return _onset(event) + timedelta(seconds=seconds(settings.lasts))


def _fill(parent: ET.Element, told: Iterable[tuple[str, str]]) -> None:
    for name, text in told:
        if _text(text):
            ET.SubElement(parent, name).text = _text(text)


def _text(value: Any) -> str:
    return "" if value is None else _UNWRITABLE.sub("", str(value)).strip()
