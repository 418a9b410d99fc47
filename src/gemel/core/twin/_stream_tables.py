"""Tables of `twin.toml` about what flows: windows over sources, training buffers, and when which graph runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gemel.base.clock import parse_duration

_Count = Annotated[int, Field(ge=1)]
_WHEN = ("on", "event", "every", "cron", "dataset", "check", "call")
_CLOCK_ONLY = ("zone", "missed")


def _duration(value: str | None) -> str | None:
    if value is not None:
        parse_duration(value)
    return value


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class StreamTable(_Table):
    """One stream of a window: which fields of which source, and how often it tells them."""

    fields: tuple[str, ...]
    period: str | None = None


class WindowTable(_Table):
    """`[windows.NAME]`: several sources side by side on one time axis, in pieces of one length."""

    streams: dict[str, StreamTable]
    length: str
    every: str | None = None
    lateness: str = "0 s"
    align: str | None = None
    gap: Literal["null", "hold", "linear", "drop"] = "null"
    late: Literal["drop", "tell"] = "drop"
    idle: str | None = None
    most: _Count = 2_000_000
    told: bool = True


class VolumeTable(_Table):
    """How much must come together: whichever of these is reached first."""

    events: _Count | None = None
    bytes: _Count | None = None
    age: str | None = None

    _age = field_validator("age")(_duration)

    @model_validator(mode="after")
    def _bounded(self) -> VolumeTable:
        if self.events is None and self.bytes is None and self.age is None:
            raise ValueError("say at least one of events, bytes and age")
        return self


class DriftTable(_Table):
    """When the values of one variable no longer look like those before."""

    variable: str
    method: Literal["ks", "page-hinkley"] = "ks"
    reference: _Count = 500
    window: _Count = 100
    level: Annotated[float, Field(gt=0, lt=1)] = 0.001
    comparisons: _Count = 1
    delta: Annotated[float, Field(ge=0)] = 0.5
    threshold: Annotated[float, Field(gt=0)] = 10.0


class BufferTable(_Table):
    """`[buffers.NAME]`: keeps what a source tells until there is enough to train on, and lets go after success."""

    on: str
    run: str
    fields: tuple[str, ...]
    volume: VolumeTable | None = None
    drift: DriftTable | None = None
    event: str | None = None
    most: _Count = 1_000_000

    @model_validator(mode="after")
    def _fires(self) -> BufferTable:
        if self.volume is None and self.drift is None and self.event is None:
            raise ValueError("say when it fires: volume, drift or event")
        return self


class TriggerSpec(_Table):
    """`[[triggers]]`: when something happens, run graph `run`: exactly one run per cause."""

    run: str
    name: str = ""
    on: str | None = None
    event: str | None = None
    stream: str | None = None
    where: dict[str, str | float | bool | tuple[float, float]] = {}
    volume: VolumeTable | None = None
    drift: DriftTable | None = None
    every: str | None = None
    cron: str | None = None
    zone: str = "UTC"
    missed: Literal["once", "all", "skip"] = "once"
    dataset: str | None = None
    check: str | None = None
    call: bool = False
    parameters: dict[str, str | float | bool] = {}

    _every = field_validator("every")(_duration)

    @model_validator(mode="after")
    def _one_cause(self) -> TriggerSpec:
        said = [name for name in _WHEN if getattr(self, name)]
        if len(said) != 1:
            problem = f"not of {' and '.join(said)}" if said else "this one says none"
            raise ValueError(f"a trigger fires because of exactly one of {', '.join(_WHEN)}: {problem}")
        if (self.volume or self.drift) and not self.on:
            raise ValueError("volume and drift are of what comes on a source: say it with on")
        if self.volume and self.drift:
            raise ValueError("volume and drift are two triggers: write two tables")
        clock = [name for name in _CLOCK_ONLY if name in self.model_fields_set and not (self.cron or self.every)]
        if clock:
            raise ValueError(f"{' and '.join(clock)} belong to every or cron")
        return self

    @property
    def kind(self) -> str:
        """Return what makes it fire: clock, event, dataset, volume, drift, check, call, or `update` for each event."""
        if self.every or self.cron:
            return "clock"
        named = {"dataset": self.dataset, "check": self.check, "call": self.call, "event": self.event}
        found = next((kind for kind, value in named.items() if value), None)
        return found or ("volume" if self.volume else "drift" if self.drift else "update")

    @property
    def title(self) -> str:
        """Return its name, or one made of what it does."""
        return self.name or f"{self.kind}-{self.on or self.event or self.dataset or self.check or 'any'}-{self.run}"
