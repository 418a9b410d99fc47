"""What a payload says: CloudEvents, JSON or a number become events; what cannot is refused with its reason."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from gemel.base.clock import iso, parse_instant
from gemel.base.errors import InvalidInput
from gemel.base.ids import digest_bytes
from gemel.core.stream.events import MAX_BYTES, Event, checked
from gemel.core.stream.sources._options import Options
from gemel.core.stream.sources._source import SourceContext

OBSERVATION = "gemel.observation"
MAPPING_OPTIONS = ("format", "time", "fields", "id", "subject")
_DEPTH = 64  # levels of nesting: far above what an observation needs, far below what recursion bears
_MILLISECONDS = 1e11  # as seconds that is the year 5138, as milliseconds 1973: above it, milliseconds are meant
_ID = 200  # characters that the log takes
_SHOWN = 80
_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)


class Payloads:
    """Makes events of payloads as the options of a source say.

    Options:
        format: ``auto`` (default), ``cloudevents``, ``json`` or ``number``.
        time: Path of the field that holds the instant: ISO 8601, or seconds or milliseconds since 1970-01-01 UTC.
            Default ``time``; a payload without that field is taken to be of the moment when it arrived.
        fields: Table of our names and the paths in the payload, like ``{ flow = "result.value" }`` (default: all).
        id: Path of the field that identifies an observation (default: a digest of the content).
        subject: Path of the field that says what it is about.
    """

    def __init__(self, context: SourceContext, options: Options) -> None:
        self._context = context
        self._format = options.one_of("format", ("auto", "cloudevents", "json", "number"))
        self._time, self._time_is_asked = options.text("time", "time"), "time" in options
        self._fields = {str(name): str(path) for name, path in options.table("fields").items()}
        self._id, self._subject = options.text("id"), options.text("subject")

    def taken(self, payload: bytes, arrived: datetime, key: str = "", subject: str | None = None) -> list[Event]:
        """Return the events in a payload; what cannot be one is rejected, and none of it is raised."""
        try:
            found = self.items(payload)
        except InvalidInput as error:
            self._context.reject(error.message, payload)
            return []
        return [event for event in (self.event(item, payload, arrived, key, subject) for item in found) if event]

    def items(self, payload: bytes) -> list[Any]:
        """Return the JSON values in a payload, one per observation.

        Raises:
            InvalidInput: It is none, is too large, or is not of the format asked for.
        """
        if len(payload) > MAX_BYTES:
            raise InvalidInput(f"The payload has {len(payload):,} bytes; {MAX_BYTES:,} are allowed.")
        if self._format == "number":
            return [{"value": _number(payload)}]
        found = parsed(payload)
        return found if isinstance(found, list) else [found]

    def event(
        self, item: Any, payload: bytes, arrived: datetime, key: str = "", subject: str | None = None
    ) -> Event | None:
        """Return the event in one JSON value, or None when it was rejected.

        Args:
            item: The value.
            payload: What it came in, kept as the dead letter.
            arrived: When it came.
            key: What the transport knows it by, the same each time it comes; it counts when the payload has no time.
            subject: What it is about, unless it says so itself.
        """
        try:
            return self.mapped(item, arrived, key, subject)
        except InvalidInput as error:
            self._context.reject(error.message, payload)
            return None

    def mapped(self, item: Any, arrived: datetime, key: str = "", subject: str | None = None) -> Event:
        """Return the event in one JSON value; arguments are those of `event`.

        Raises:
            InvalidInput: It is none.
        """
        if self._format == "cloudevents" or (self._format == "auto" and is_cloudevent(item)):
            event = from_cloudevent(item, arrived, subject)
        else:
            event = self._from_fields(item, arrived, key, subject)
        return fitting(event)

    def tells_time(self, payload: bytes) -> bool:
        """Return whether every observation in a payload can be told from its next one by what it says itself."""
        try:
            found = self.items(payload)
        except InvalidInput:
            return True  # it will be rejected, and a rejected payload has no id
        return all(self._tells(item) for item in found)

    def _tells(self, item: Any) -> bool:
        if self._format in ("auto", "cloudevents") and is_cloudevent(item):
            return True
        return at(item, self._time) is not None or bool(self._id and at(item, self._id) is not None)

    def _from_fields(self, item: Any, arrived: datetime, key: str, subject: str | None) -> Event:
        if isinstance(item, int | float) and not isinstance(item, bool):
            item = {"value": item}
        if not isinstance(item, Mapping):
            raise InvalidInput(f"An observation is a JSON object or a number, not {type(item).__name__}.")
        stamp = at(item, self._time)
        if stamp is None and self._time_is_asked:
            raise InvalidInput(f"The observation has no time: there is no '{self._time}' in it.")
        time = arrived if stamp is None else instant_of(stamp)
        about = at(item, self._subject) if self._subject else None
        subject = subject if about is None else str(about)
        # Without a time of its own, only how it came tells one reading of 3.0 from the next.
        told = "" if stamp is not None else key or f"{iso(time)}"
        named = self._named(item) or _digest(item, subject, told)
        data = self._data(item, stamp is not None)
        return Event(within(f"{self._context.name}@{named}"), OBSERVATION, self._context.uri, time, data, subject)

    def _named(self, item: Mapping[str, Any]) -> str:
        found = at(item, self._id) if self._id else None
        if self._id and (found is None or isinstance(found, Mapping | list)):
            raise InvalidInput(f"The observation has no id: there is no '{self._id}' in it.")
        return "" if found is None else str(found)

    def _data(self, item: Mapping[str, Any], timed: bool) -> dict[str, Any]:
        if not self._fields:
            return {str(name): value for name, value in item.items() if not (timed and name == self._time)}
        data = {name: at(item, path) for name, path in self._fields.items()}
        if all(value is None for value in data.values()):
            raise InvalidInput(f"The observation has none of the fields {', '.join(self._fields.values())}.")
        return data


def parsed(payload: bytes | str) -> Any:
    """Return the JSON value in a payload.

    Raises:
        InvalidInput: It is not UTF-8, not JSON (RFC 8259 knows no NaN), or nested deeper than 64 levels.

    >>> parsed(b'{"flow": 3}')
    {'flow': 3}
    >>> parsed(b'{"flow": NaN}')
    Traceback (most recent call last):
    gemel.base.errors.InvalidInput: The payload holds NaN, which is not JSON.
    """
    try:
        text = payload.decode("utf-8") if isinstance(payload, bytes) else payload
        found = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The payload is not UTF-8: byte {error.start} cannot be read.") from error
    except RecursionError as error:
        raise InvalidInput(f"The payload is nested deeper than {_DEPTH} levels.") from error
    except InvalidInput:
        raise
    except ValueError as error:
        raise InvalidInput(f"The payload is not JSON: {error}.") from error
    if _is_deep(found):
        raise InvalidInput(f"The payload is nested deeper than {_DEPTH} levels.")
    return found


def is_cloudevent(item: Any) -> bool:
    """Return whether a JSON value is meant as a CloudEvent."""
    return isinstance(item, Mapping) and "specversion" in item and "type" in item


def from_cloudevent(item: Any, arrived: datetime, subject: str | None = None) -> Event:
    """Return a CloudEvent 1.0 in JSON (JSON event format 1.0.2); without a time, it is of its arrival.

    Raises:
        InvalidInput: It is none.
    """
    if not isinstance(item, Mapping):
        raise InvalidInput("A CloudEvent is a JSON object.")
    if item.get("specversion") != "1.0":
        raise InvalidInput(f"CloudEvents of version {str(item.get('specversion'))[:20]!r} are not known, 1.0 is.")
    data = item.get("data")
    if data is None:
        data = {} if item.get("data_base64") is None else {"data_base64": item["data_base64"]}
    if not isinstance(data, Mapping):
        data = {"value": data}
    about = item.get("subject") or subject
    time = iso(arrived if item.get("time") is None else instant_of(item["time"]))
    return Event.from_document({**item, "time": time, "data": data, "subject": about})


def fitting(event: Event) -> Event:
    """Return an event that any log takes.

    Raises:
        InvalidInput: It is malformed or too large.
    """
    try:
        for text in (event.id, event.type, event.source, event.subject or ""):
            str(text).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("The event's attributes hold half a character (a lone surrogate).") from error
    checked(event)
    return event


def accepted(context: SourceContext, event: Event, payload: Any) -> Event | None:
    """Return an event that any log takes, or None once it was rejected."""
    try:
        return fitting(event)
    except InvalidInput as error:
        context.reject(error.message, json.dumps(payload, default=str).encode())
        return None


def instant_of(stamp: Any) -> datetime:
    """Return the instant that a field holds: ISO 8601, or seconds or milliseconds since 1970-01-01 UTC.

    Numbers of 1e11 and more are milliseconds.

    Raises:
        InvalidInput: It is none.

    >>> instant_of(86400) == instant_of("1970-01-02"), instant_of(946684800000).year
    (True, 2000)
    """
    if isinstance(stamp, str):
        return _written(stamp)
    if isinstance(stamp, bool) or not isinstance(stamp, int | float) or not math.isfinite(stamp):
        raise InvalidInput(f"{str(stamp)[:_SHOWN]!r} is not a date or time.")
    seconds = stamp / 1000 if abs(stamp) >= _MILLISECONDS else stamp
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError as error:
        raise InvalidInput(f"{str(stamp)[:_SHOWN]} is no number of seconds since 1970.") from error


def _written(text: str) -> datetime:
    try:
        found = parse_instant(text) if len(text) <= _SHOWN else None
    except OverflowError:  # its zone takes it out of the years 1 to 9999
        found = None
    if found is None or found < _EARLIEST:
        raise InvalidInput(f"'{text[:_SHOWN]}' is not a date or time.")
    return found


def at(item: Any, path: str) -> Any:
    """Return what stands at a path in a JSON value, None when there is nothing.

    >>> at({"result": [{"value": 3}]}, "result.0.value"), at({"a.b": 1}, "a.b"), at({}, "a")
    (3, 1, None)
    """
    if isinstance(item, Mapping) and path in item:
        return item[path]
    for part in path.split("."):
        if isinstance(item, Mapping):
            item = item.get(part)
        elif isinstance(item, Sequence) and not isinstance(item, str) and part.isdecimal() and int(part) < len(item):
            item = item[int(part)]
        else:
            return None
    return item


def within(id: str) -> str:
    """Return an id that the log takes: one that is too long ends in its digest."""
    return id if len(id) <= _ID else f"{id[:120]}…{digest_bytes(id.encode(errors='replace'))}"


def _digest(item: Any, subject: str | None, key: str) -> str:
    text = json.dumps([item, subject, key], sort_keys=True)
    return digest_bytes(text.encode())[:32]


def _number(payload: bytes) -> float:
    try:
        found = float(payload.decode("ascii"))
    except ValueError as error:  # a UnicodeDecodeError is one, too
        raise InvalidInput(f"The payload {payload[:_SHOWN]!r} is not a number.") from error
    if not math.isfinite(found):
        raise InvalidInput(f"The payload {payload[:_SHOWN]!r} is not a finite number.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInput(f"The payload holds {name}, which is not JSON.")


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
