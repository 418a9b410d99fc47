"""One event, as CloudEvents 1.0 describes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gemel.base.clock import iso, parse_instant
from gemel.base.errors import InvalidInput


@dataclass(frozen=True)
class Event:
    """Something that happened, at an instant of the physical twin's time.

    Attributes:
        id: Unique within its stream; a second event with the same id is a duplicate.
        type: Kind of event, like ``gemel.observation``.
        source: Who tells it, as a URI reference.
        time: When it happened.
        data: JSON values.
        subject: What it is about.
        position: Its place in the log, 0 before it is logged.
    """

    id: str
    type: str
    source: str
    time: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    subject: str | None = None
    position: int = 0

    def document(self) -> dict[str, Any]:
        """Return the event in CloudEvents' structured JSON form (specification 1.0.2, JSON event format).

        >>> from datetime import UTC
        >>> event = Event("e1", "gemel.observation", "/gauge", datetime(1984, 1, 1, tzinfo=UTC), {"flow": 3.0})
        >>> event.document()["specversion"], event.document()["time"]
        ('1.0', '1984-01-01T00:00:00Z')
        """
        document: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "type": self.type,
            "source": self.source,
            "time": iso(self.time),
            "datacontenttype": "application/json",
            "data": dict(self.data),
        }
        return document if self.subject is None else document | {"subject": self.subject}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Event:
        """Return the event in a structured CloudEvents document.

        Raises:
            InvalidInput: A required attribute is missing or not text.
        """
        for name in ("id", "type", "source", "time"):
            if not isinstance(document.get(name), str) or not document[name]:
                raise InvalidInput(f"The event has no '{name}'.", hint="CloudEvents 1.0 requires it.", attribute=name)
        data = document.get("data") or {}
        if not isinstance(data, Mapping):
            raise InvalidInput("The event's data is not an object.", hint='Write "data": {"name": value}.')
        time = parse_instant(document["time"])
        return cls(document["id"], document["type"], document["source"], time, data, document.get("subject"))


def finite(value: Any) -> Any:
    """Return JSON values with null where a number is not finite: JSON has no word for NaN.

    >>> finite({"flow": float("nan"), "rain": [1.0]})
    {'flow': None, 'rain': [1.0]}
    """
    if isinstance(value, Mapping):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
