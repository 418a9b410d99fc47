"""What an outlet of alerts is, what it is told, and the options that all kinds share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gemel.base.clock import parse_duration
from gemel.base.errors import GemelError, InvalidInput, did_you_mean
from gemel.core.stream.events import Event

#: Type of the event that tells of a danger, and of the one that tells that it is over.
ALERT, OVER = "gemel.twin.alert", "gemel.twin.alert-over"


def seconds(duration: str) -> float:
    """Return a duration in seconds."""
    return parse_duration(duration).total_seconds()


def _duration(value: str) -> str:
    if seconds(value) < 0:
        raise ValueError(f"'{value}' is less than nothing")
    return value


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"'{value[:200]}' is no http or https address")
    if parts.password:
        raise ValueError("an address holds no password; give it by reference, as 'env:NAME' or 'file:PATH'")
    return value


def _reference(value: str) -> str:
    # Not shown again: it may be the secret itself.
    if value.partition(":")[0] not in ("env", "file"):
        raise ValueError("say where the secret is, not what it is: 'env:NAME' or 'file:PATH'")
    return value


def _readable(check: Any) -> AfterValidator:
    def checked(value: str) -> str:
        try:
            return str(check(value))
        except GemelError as error:
            raise ValueError(error.message) from error

    return AfterValidator(checked)


Duration = Annotated[str, _readable(_duration)]
Address = Annotated[str, _readable(_address)]
Reference = Annotated[str, _readable(_reference)]


@dataclass(frozen=True)
class About:
    """What a message says of the twin that warns.

    Attributes:
        twin: Its id.
        title: Its title.
        place: Of the physical twin.
        latitude: Of the physical twin, in degrees north.
        longitude: In degrees east.
        contact: Whom to ask.
        exercise: Whether all that it sees is played back: nothing of it may be taken for real.
    """

    twin: str
    title: str = ""
    place: str = ""
    latitude: float | None = None
    longitude: float | None = None
    contact: str = ""
    exercise: bool = False


@dataclass(frozen=True)
class Notice:
    """One alert on its way out.

    Attributes:
        event: The alert.
        about: The twin that warns.
        earlier: Alerts of the run before about the same event and place: what this one takes the place of.
        origin: Address that the event's source is put behind, so that two engines can be told apart.
    """

    event: Event
    about: About
    earlier: tuple[Event, ...] = ()
    origin: str = ""

    @property
    def id(self) -> str:
        """Return the alert's id: the same each time it is sent, also after it was a dead letter.

        >>> from datetime import UTC, datetime
        >>> told = Event("alert-7-0~12", ALERT, "/twins/brook", datetime(2001, 1, 1, tzinfo=UTC))
        >>> Notice(told, About("brook")).id
        'alert-7-0'
        """
        return self.event.id.partition("~")[0]

    def document(self) -> dict[str, Any]:
        """Return the alert as a CloudEvent."""
        return self.event.document() | {"id": self.id, "source": f"{self.origin}{self.event.source}"}


class Outlet(Protocol):
    """Hands alerts to one receiver.

    Attributes:
        needs_earlier: Whether a notice must name the alerts that it takes the place of.
    """

    needs_earlier: bool

    def send(self, notice: Notice) -> None:
        """Return once the receiver has the alert.

        Raises:
            InvalidInput: The receiver will never take it, or it cannot be told in the receiver's words.
            GemelError: Not now; `context["retry_after"]` may say in how many seconds.
        """

    def close(self) -> None:
        """Let connections go."""


@dataclass(frozen=True)
class OutletContext:
    """What an outlet is told when it is opened.

    Attributes:
        name: In `twin.toml`.
        kind: One of `KINDS`.
        options: Its table in `twin.toml`, without `kind`.
        about: The twin.
        folder: What relative paths are relative to.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    about: About
    folder: Path


class OutletTable(BaseModel):
    """Options of every outlet.

    Attributes:
        attempts: After so many an alert becomes a dead letter.
        pause: Time until the second attempt; it doubles with each further one.
        longest_pause: Longest time between two attempts.
        begin: Where a new outlet begins: with what comes from now on, or with all that the log has.
        events: Kinds of danger that are sent, like ``flood``; all of them when empty.
        probability: Least probability of what is sent, 0 to 1.
        origin: Address of this engine, put before the CloudEvents source.
        timeout: Time in which the receiver must answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    attempts: Annotated[int, Field(ge=1, le=100)] = 8
    pause: Duration = "1 s"
    longest_pause: Duration = "10 min"
    begin: Literal["new", "all"] = "new"
    events: tuple[str, ...] = ()
    probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    origin: str = ""
    timeout: Duration = "10 s"

    def wants(self, event: Event) -> bool:
        """Return whether an event is an alert that this outlet sends."""
        if not is_alert(event) or (self.events and event.data.get("event") not in self.events):
            return False
        chance = event.data.get("probability")
        return event.type == OVER or not isinstance(chance, (int, float)) or chance >= self.probability


@dataclass(frozen=True)
class OpenOutlet:
    """An outlet that is open, with what is needed to feed it.

    Attributes:
        context: What it was opened with.
        table: Its options.
        outlet: Hands over.
    """

    context: OutletContext
    table: OutletTable
    outlet: Outlet


def is_alert(event: Event) -> bool:
    """Return whether an event tells of a danger, or that one is over."""
    return event.type in (ALERT, OVER)


_Table = TypeVar("_Table", bound="OutletTable")


def read_table(table: type[_Table], context: OutletContext) -> _Table:
    """Return the options of an outlet.

    Raises:
        InvalidInput: One is not known, missing, or makes no sense.
    """
    try:
        return table.model_validate(dict(context.options))
    except ValidationError as error:
        problems, hint = list[str](), None
        for item in error.errors(include_input=False):
            place = ".".join(map(str, item["loc"]))
            if item["type"] == "extra_forbidden":
                hint = did_you_mean(place, table.model_fields) or f"It takes: {', '.join(table.model_fields)}."
                problems.append(f"there is no option '{place}'")
            else:
                told = item["msg"].removeprefix("Value error, ")
                problems.append(f"{place}: {told}" if place else told)
        message = f"Outlet '{context.name}' ({context.kind}): {'; '.join(problems)}."
        raise InvalidInput(message, hint=hint or f"[alerts.{context.name}] in twin.toml") from error
