"""Event types: what twins and datasets tell, and what people notify each other of; each lives in streams of the log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gemel.base.errors import Denied, InvalidInput, NotFound
from gemel.core.engine import Engine, twin_stream
from gemel.core.stream import Event, EventLog
from gemel.faces.aviso._asked import Asked, scalar
from gemel.faces.aviso._filter import Filter

#: CloudEvents type of what people notify each other of.
NOTIFICATION = "gemel.aviso.notification"
_OWN = "aviso/"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_MOST_TYPES, _MOST_FIELDS = 1000, 50
_TWIN_KINDS = (
    "alert",
    "alert-over",
    "updated",
    "freshness",
    "diverged",
    "converged",
    "late-observation",
    "problem",
    "check.failed",
)
_DATASET_KINDS = ("new", "changed", "verified", "lost", "removed")


@dataclass(frozen=True)
class Field:
    """A field of an identifier.

    Attributes:
        description: For people.
        required: Whether a watch or replay must name it.
        values: All that it can be; anything when empty.
    """

    description: str
    required: bool = False
    values: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as an aviso-server describes it."""
        kind = {"type": "EnumHandler", "values": list(self.values)} if self.values else {"type": "StringHandler"}
        return {"description": self.description, **kind, "required": self.required}


@dataclass(frozen=True)
class EventType:
    """Notifications of one kind.

    Attributes:
        name: Of the kind.
        stream: Returns the stream of the log that an identifier's notifications are in.
        identifier: Returns the identifier of an event.
        payload: Returns what is told.
        fields: Of their identifiers.
        own: Whether people notify of it: any fields are allowed then, and the sequence has no gaps.
    """

    name: str
    stream: Callable[[Mapping[str, Any]], str]
    identifier: Callable[[Event], Mapping[str, str]]
    payload: Callable[[Event], Any]
    fields: Mapping[str, Field]
    own: bool = False

    def sequence(self, event: Event) -> int:
        """Return the sequence of an event: its place among the notifications of its type, or else in the log."""
        return _number(event) if self.own else event.position

    def position_before(self, log: EventLog, stream: str, sequence: int) -> int:
        """Return a position after which the first event is that of a sequence, or the first one beyond it."""
        if not self.own:
            return max(sequence - 1, 0)
        last = log.last(stream)
        if not last or _number(last[-1]) < sequence:
            return last[-1].position if last else 0
        low, high = 0, last[-1].position - 1
        while low < high:
            middle = (low + high) // 2
            event = log.read(stream, middle, 1)[0]
            if _number(event) < sequence:
                low = event.position
            else:
                high = middle
        return low

    def schema(self) -> dict[str, Any]:
        """Return what an aviso-server tells of it."""
        told = {name: item.document() for name, item in self.fields.items()}
        return {"payload": {"required": False}, "identifier": told}

    def filter(self, asked: Asked, operation: str) -> Filter:
        """Return what a watch or replay is about.

        Raises:
            InvalidInput: A field is unknown, missing, or cannot be what is asked for.
        """
        if len(asked.identifier) > _MOST_FIELDS:
            raise InvalidInput(f"An identifier has at most {_MOST_FIELDS} fields.")
        for name, item in self.fields.items():
            if item.required and not isinstance(asked.identifier.get(name), str):
                raise InvalidInput(f"Required field '{name}' missing for {operation} operation.")
        wanted = dict(asked.identifier)
        for name, value in wanted.items():
            if not self.own and name not in self.fields:
                hint = f"It has {', '.join(self.fields)}."
                raise InvalidInput(f"Unknown field '{name[:100]}' of event type '{self.name}'.", hint=hint)
            if not self.own and self.fields[name].values:
                wanted[name] = self._known(name, value)
        return Filter(wanted)

    def _known(self, name: str, value: Any) -> Any:
        values = self.fields[name].values
        listed = [value] if not isinstance(value, Mapping) else next(iter(value.values()), None)
        found = [scalar(name, item).lower() for item in (listed if isinstance(listed, list) else [listed])]
        for item in found:
            if item not in values and item != "*":
                raise InvalidInput(f"Field '{name}' cannot be '{item[:100]}'.", hint=f"It is {', '.join(values)}.")
        return found[0] if not isinstance(value, Mapping) else {"in": found}


class EventTypes:
    """The event types of an engine: `dataset`, `twin`, and each that people have notified of."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._log = engine, engine.log
        self._ours = {item.name: item for item in (_datasets(), self._twins())}

    def names(self) -> list[str]:
        """Return the name of each."""
        own = [name.removeprefix(_OWN) for name in self._log.streams() if name.startswith(_OWN)]
        return [*self._ours, *(name for name in own if _NAME.fullmatch(name))]

    def get(self, name: str) -> EventType:
        """Return an event type.

        Raises:
            InvalidInput: Nobody has ever notified of such.
        """
        if name in self._ours:
            return self._ours[name]
        newest = self._log.last(_OWN + name) if _NAME.fullmatch(name) else []
        if not newest:
            message = f"unknown event type '{name[:100]}'"
            raise InvalidInput(message, aviso="UNKNOWN_EVENT_TYPE", event_types=self.names()[:_MOST_TYPES])
        fields = {key: Field("As in the newest notification.") for key in _own_identifier(newest[-1])}
        return EventType(name, lambda _: _OWN + name, _own_identifier, _own_payload, fields, own=True)

    def notify(self, asked: Asked) -> None:
        """Keep a notification; a name that is new makes a new event type.

        Raises:
            InvalidInput: It has a start, or a value that is no scalar, or a name that cannot be.
            Denied: Only the engine notifies of that.
            StoreFull: There is no more room.
        """
        if asked.event_type in self._ours:
            hint = "Choose a name of your own."
            raise Denied(f"Only the engine notifies of event type '{asked.event_type}'.", hint=hint)
        if not _NAME.fullmatch(asked.event_type):
            hint = "Small letters, digits, - and _, beginning with a letter."
            raise InvalidInput(f"'{asked.event_type[:100]}' is no name of an event type.", hint=hint)
        if len(asked.identifier) > _MOST_FIELDS:
            raise InvalidInput(f"An identifier has at most {_MOST_FIELDS} fields.")
        identifier = {name: scalar(name, value) for name, value in asked.identifier.items()}
        for name, value in identifier.items():
            if not name or not value:
                raise InvalidInput(f"Field '{name}' cannot be empty.")
        if not self._log.last(_OWN + asked.event_type) and len(self.names()) >= _MOST_TYPES:
            raise InvalidInput(f"There are {_MOST_TYPES} event types already.")
        data = {"identifier": identifier, "payload": asked.payload}
        self._number_and_keep(asked.event_type, data)

    def _number_and_keep(self, name: str, data: Mapping[str, Any]) -> None:
        # Aviso's clients take a gap in the numbers for something lost. The number is the id, which the log takes
        # once: who comes second, here or in another engine, takes the next one.
        last = self._log.last(_OWN + name)
        number = _number(last[-1]) + 1 if last else 1
        while True:
            numbered = {"sequence": number, **data}
            event = Event(f"{name}@{number}", NOTIFICATION, "/aviso", datetime.now(UTC), numbered, name)
            if self._log.append(_OWN + name, event) is not None:
                return
            number += 1

    def _twins(self) -> EventType:
        def stream(identifier: Mapping[str, Any]) -> str:
            name = str(identifier["twin"])
            try:
                return twin_stream(self._engine.twin(name).id)
            except NotFound as error:
                told = twin_stream(name)
                # A twin that is gone has told things nevertheless.
                if "/" not in name and self._log.last(told):
                    return told
                raise InvalidInput(error.message, hint=error.hint) from error

        fields = {
            "twin": Field("Id of the twin.", required=True),
            "type": Field("What is told.", values=_TWIN_KINDS),
            "event": Field("Kind of danger, of an alert."),
            "place": Field("Place of the danger, of an alert."),
        }
        return EventType("twin", stream, _twin_identifier, Event.document, fields)


def _datasets() -> EventType:
    fields = {
        "name": Field("Name of the dataset, with its scope."),
        "scope": Field("Scope of the dataset, * for all.", required=True),
        "type": Field("What happened.", values=_DATASET_KINDS),
    }
    return EventType("dataset", lambda _: "lake", _dataset_identifier, Event.document, fields)


def _twin_identifier(event: Event) -> Mapping[str, str]:
    found = {"twin": str(event.subject), "type": event.type.removeprefix("gemel.").removeprefix("twin.")}
    about = {name: str(event.data[name]) for name in ("event", "place") if event.data.get(name) is not None}
    return found | (about if found["type"].startswith("alert") else {})


def _dataset_identifier(event: Event) -> Mapping[str, str]:
    name = str(event.data.get("name", event.subject))
    return {"name": name, "scope": name.partition(":")[0], "type": event.type.removeprefix("gemel.dataset.")}


def _number(event: Event) -> int:
    found = event.data.get("sequence")
    return found if isinstance(found, int) else 0


def _own_identifier(event: Event) -> Mapping[str, str]:
    found = event.data.get("identifier")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, Mapping) else {}


def _own_payload(event: Event) -> Any:
    # What was sent to the stream in another way has no payload of its own.
    return event.data["payload"] if "payload" in event.data else event.document()
