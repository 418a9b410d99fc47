"""Series of readings: of one variable in the log of a source, or in the versions of a twin's state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from gemel.base.clock import parse_duration
from gemel.base.errors import GemelError
from gemel.base.units import split_quantity
from gemel.core.engine import Engine
from gemel.core.stream import State
from gemel.core.twin import Twin

#: Part of an id that stands for the twin's own model; a source of that name would not be shown.
MODEL = "@model"
_PAGE = 1000
_LOOKED_AT = 100  # observations at either end of a log, whose variables are known
_RELATIVE = ("", "1", "%", "percent")
# How wrong clocks may have been, and options that allowed more than they do now.
_SLACK = timedelta(days=1)
Kept = dict[int, dict[str, Any]]  # scalars by version of the state, shared by the series of a twin


@dataclass(frozen=True)
class Reading:
    """One value of a series.

    Attributes:
        position: Its place, which never changes.
        time: Of the phenomenon.
        result: The value, None for a gap.
        known: When it became known, None when nobody wrote that down.
        quality: What is known of its error.
        about: Where it comes from.
    """

    position: int
    time: datetime
    result: Any
    known: datetime | None = None
    quality: Any = None
    about: Mapping[str, Any] = field(default_factory=dict)


class Series(Protocol):
    """Readings of one variable, in the order of their positions.

    Attributes:
        twin: Whose.
        part: Name of the source, or `MODEL`.
        variable: Name of the variable.
        unit: Of the values, None when nobody declared one.
        numeric: Whether all values that were looked at are numbers.
    """

    twin: Twin
    part: str
    variable: str
    unit: str | None
    numeric: bool

    def readings(self, after: int = 0, since: datetime | None = None) -> Iterator[Reading]:
        """Yield readings after a position; those of a time before `since` may be left out."""

    def at(self, position: int) -> Reading | None:
        """Return the reading at a position."""


class LogSeries:
    """A variable of a source (see `Series`)."""

    def __init__(self, engine: Engine, twin: Twin, source: str, variable: str, unit: str | None, numeric: bool) -> None:
        self._log, self._stream = engine.log, f"twins/{twin.id}/{source}"
        self._ahead = parse_duration(twin.manifest.sources[source].ahead) + _SLACK
        self.twin, self.part, self.variable, self.unit, self.numeric = twin, source, variable, unit, numeric

    def readings(self, after: int = 0, since: datetime | None = None) -> Iterator[Reading]:
        """Yield readings page by page, up to what is the newest now."""
        last = self._log.last(self._stream)
        final = last[-1].position if last else 0
        after = max(after, self._before(since))
        while after < final:
            events = self._log.read(self._stream, after, _PAGE)
            for event in events:
                if event.position <= final and self.variable in event.data:
                    about = {"event": event.id, "position": event.position}
                    yield Reading(event.position, event.time, event.data[self.variable], about=about)
            after = events[-1].position if events else final

    def at(self, position: int) -> Reading | None:
        """Return the reading at a position."""
        found = next(self.readings(position - 1), None) if position > 0 else None
        return found if found and found.position == position else None

    def _before(self, since: datetime | None) -> int:
        # No observation is taken in that lies further in the future than `ahead`: one of `since` or later was
        # recorded at most that much earlier, and the log knows where that began.
        if since is None or since.year < 1900:
            return 0
        return self._log.since(self._stream, since - self._ahead)


class StateSeries:
    """A scalar in the outputs of a twin's updates, for as many versions of the state as keep them (see `Series`)."""

    part = MODEL

    def __init__(self, engine: Engine, twin: Twin, kept: Kept, variable: str, unit: str | None, numeric: bool) -> None:
        self._engine, self._kept = engine, kept
        self.twin, self.variable, self.unit, self.numeric = twin, variable, unit, numeric

    def readings(self, after: int = 0, since: datetime | None = None) -> Iterator[Reading]:
        """Yield readings of the versions that are kept."""
        for state in self._engine.states.history(self.twin.id, self._engine.runs.keep_updates):
            found = self._reading(state) if state.sequence > after else None
            if found is not None:
                yield found

    def at(self, position: int) -> Reading | None:
        """Return the reading at a position."""
        state = self._engine.states.get(self.twin.id, position)
        return self._reading(state) if state else None

    def _reading(self, state: State) -> Reading | None:
        if state.sequence not in self._kept:
            self._kept[state.sequence] = scalars(self._engine, state)
        values = self._kept[state.sequence]
        if self.variable not in values:
            return None
        quality = state.uncertainty.get(self.variable.rpartition(".")[2])
        about = {"run": state.run, "sequence": state.sequence} | ({"source": state.source} if state.source else {})
        return Reading(state.sequence, state.valid, values[self.variable], state.known, quality, about)


def scalars(engine: Engine, state: State) -> dict[str, Any]:
    """Return the scalars among a state's outputs by name: of `misfit` its value, of the others their members."""
    found: dict[str, Any] = {}
    for name, value in state.document.items():
        if name == "uncertainty":
            continue
        loaded = _loaded(engine, value)
        if name == "misfit" and isinstance(loaded, Mapping):
            found["misfit"] = loaded.get("value")
        elif isinstance(loaded, Mapping):
            found |= {f"{name}.{key}": item for key, item in loaded.items() if _is_scalar(item)}
        elif _is_scalar(loaded) and loaded is not None:
            found[name] = loaded
    return found


def series_of(engine: Engine, twin: Twin) -> list[Series]:
    """Return the series of a twin: each variable of each source, and the scalars of its updates."""
    found: list[Series] = []
    for source in twin.manifest.sources.keys() - {MODEL}:
        stream = f"twins/{twin.id}/{source}"
        events = [*engine.log.read(stream, 0, _LOOKED_AT), *engine.log.last(stream, _LOOKED_AT)]
        told = [event.data for event in events]
        names = dict.fromkeys(name for data in told for name, value in data.items() if _is_scalar(value))
        for name in names:
            values = [data[name] for data in told if data.get(name) is not None]
            found.append(LogSeries(engine, twin, source, name, _declared(twin, name), all(map(_is_number, values))))
    state = engine.states.latest(twin.id)
    kept: Kept = {}
    values_now = scalars(engine, state) if state else {}
    for name, value in values_now.items():
        unit = _unit_in_state(engine, state, name) if state else None
        found.append(StateSeries(engine, twin, kept, name, unit, value is None or _is_number(value)))
    return found


def _loaded(engine: Engine, value: Any) -> Any:
    if not isinstance(value, Mapping) or "from_result" not in value:
        return value
    try:
        kept = engine.results.get(str(value["from_result"]))
        # What lies in a file is no scalar, and too large to look into for one.
        return None if kept.inline is None else engine.results.load(kept)
    except GemelError:
        return None  # old results are let go; the series begins later


def _declared(twin: Twin, variable: str) -> str | None:
    unit = split_quantity(twin.manifest.physical.fidelity.get(variable, "1"))[1]
    return None if unit in _RELATIVE else unit


def _unit_in_state(engine: Engine, state: State, variable: str) -> str | None:
    if variable == "misfit":
        document = _loaded(engine, state.document.get("misfit"))
        unit = document.get("unit") if isinstance(document, Mapping) else None
    else:
        doubt = state.uncertainty.get(variable.rpartition(".")[2])
        unit = doubt.get("unit") if isinstance(doubt, Mapping) else None
    return unit if isinstance(unit, str) and unit else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
