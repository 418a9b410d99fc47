"""What a request asks for: its fields, known and of the right kind, and where in the past it begins and ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gemel.base.clock import parse_instant
from gemel.base.errors import InvalidInput

_FIELDS = ("event_type", "identifier", "from_id", "from_date", "to_id", "to_date", "payload")
_MILLISECONDS_FROM = 12  # digits from which a number is milliseconds since 1970, and not seconds
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True)
class Asked:
    """A request for `notification`, `watch` or `replay`.

    Attributes:
        event_type: Of the notifications.
        identifier: What they are about; in a watch or replay, what they must be about.
        from_id: First sequence.
        from_date: Since when.
        to_id: Last sequence.
        to_date: Until when.
        payload: JSON of any kind; None when there is none.
    """

    event_type: str
    identifier: Mapping[str, Any]
    from_id: int | None = None
    from_date: datetime | None = None
    to_id: int | None = None
    to_date: datetime | None = None
    payload: Any = None

    @property
    def has_start(self) -> bool:
        """Return whether history is asked for."""
        return self.from_id is not None or self.from_date is not None

    @property
    def has_end(self) -> bool:
        """Return whether history is asked for up to some end."""
        return self.to_id is not None or self.to_date is not None


def asked_in(body: bytes) -> Asked:
    """Return what a request's body asks for.

    Raises:
        InvalidInput: It is no JSON, or has fields that are unknown, missing or of the wrong kind.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"JSON parsing failed: {error}.", aviso="INVALID_JSON") from error
    if not isinstance(found, dict):
        raise InvalidInput("The request is no JSON object.", aviso="INVALID_REQUEST_SHAPE")
    for name in found:
        if name not in _FIELDS:
            message = f"Unknown field '{name[:100]}' in request."
            raise InvalidInput(message, hint=f"Allowed fields: {', '.join(_FIELDS)}.", aviso="UNKNOWN_FIELD")
    _require_shape(found)
    for first, second in (("from_id", "from_date"), ("to_id", "to_date")):
        if found.get(first) is not None and found.get(second) is not None:
            raise InvalidInput(f"Cannot specify both {first} and {second}.")
    return Asked(
        found["event_type"],
        found.get("identifier") or {},
        _number(found, "from_id"),
        _instant(found, "from_date"),
        _number(found, "to_id"),
        _instant(found, "to_date"),
        found.get("payload"),
    )


def scalar(name: str, value: Any) -> str:
    """Return an identifier's value as the text that it is kept as.

    Raises:
        InvalidInput: It is null, a list or an object.

    >>> scalar("step", 24), scalar("final", True)
    ('24', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise InvalidInput(f"Field '{name[:100]}' must be a text, a number or a truth value.")


def _require_shape(found: Mapping[str, Any]) -> None:
    kinds = {"event_type": str, "identifier": dict}
    for name, kind in kinds.items():
        # A real server asks for the identifier, too; its own client always sends one.
        if (name == "event_type" or found.get(name) is not None) and not isinstance(found.get(name), kind):
            what = "a text" if kind is str else "an object"
            raise InvalidInput(f"The request's '{name}' is not {what}.", aviso="INVALID_REQUEST_SHAPE")
    for name in ("from_id", "from_date", "to_id", "to_date"):
        value = found.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int))):
            raise InvalidInput(f"The request's '{name}' is not a text.", aviso="INVALID_REQUEST_SHAPE")


def _number(found: Mapping[str, Any], name: str) -> int | None:
    value = found.get(name)
    if value is None:
        return None
    text = str(value)
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > _LARGEST:
        raise InvalidInput(f"{name} must be a valid positive integer. Got: '{text[:40]}'.", hint="Such as '123'.")
    return int(text)


def _instant(found: Mapping[str, Any], name: str) -> datetime | None:
    value = found.get(name)
    if value is None:
        return None
    text = str(value).strip()
    digits = text.removeprefix("+")
    try:
        if digits.isascii() and digits.isdigit():
            number = int(digits)
            milliseconds = len(digits.lstrip("0")) >= _MILLISECONDS_FROM
            return datetime.fromtimestamp(number / 1000 if milliseconds else number, UTC)
        return parse_instant(text)
    except (InvalidInput, ValueError, OverflowError, OSError) as error:
        hint = "Write '2025-06-09T13:15:00Z', or seconds since 1970."
        raise InvalidInput(f"{name} must be a valid datetime or timestamp. Got: '{text[:40]}'.", hint=hint) from error
