"""What can be read of a twin: newest observations, state, freshness, lag, misfit, parameters; each with its schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gemel.base.clock import iso
from gemel.base.errors import InvalidInput, not_found
from gemel.base.units import split_quantity
from gemel.core.engine import Service
from gemel.core.stream import Event
from gemel.core.twin import Manifest, ParameterSpec, Twin

Document = dict[str, Any]
FRESHNESS = ("in-step", "late", "silent", "not-live")
_LOOKED_AT = 20  # newest observations whose variables are known
_RELATIVE = ("", "1", "%", "percent")


@dataclass(frozen=True)
class Property:
    """Something of a twin that can be read.

    Attributes:
        schema: Title, description and data schema (TD 1.1, section 5.3.2).
        read: Returns its value now.
        stream: The log stream whose events change it, or None where changes are not told.
        types: Those of its events that do; empty for all.
        told: Returns the value that an event brings, None where the event brings none; default: it is read.
    """

    schema: Document
    read: Callable[[], Any]
    stream: str | None = None
    types: tuple[str, ...] = ()
    told: Callable[[Event], Any] | None = None


def properties_of(service: Service, twin: Twin) -> dict[str, Property]:
    """Return the properties of a twin by name; observations are called `source.variable`."""
    found = {
        name: item for source in twin.manifest.sources for name, item in _observations(service, twin, source).items()
    }
    return found | _own(service, twin)


def property_of(service: Service, twin: Twin, name: str) -> Property:
    """Return one property; raise `NotFound` when the twin has none of that name."""
    known = properties_of(service, twin)
    if name not in known:
        raise not_found(f"property of twin '{twin.id}'", name, known)
    return known[name]


def parameter_schema(spec: ParameterSpec) -> Document:
    """Return the data schema of a parameter: a number with its bounds, default and unit."""
    told = {"title": spec.title, "description": spec.description, "unit": spec.unit, "default": spec.default}
    told |= {"minimum": spec.minimum, "maximum": spec.maximum}
    return {"type": "number"} | {name: value for name, value in told.items() if value not in (None, "")}


def unit_of(manifest: Manifest, variable: str) -> str | None:
    """Return the unit of an observed variable as its declared fidelity tells it, or None when nobody declared it."""
    unit = split_quantity(manifest.physical.fidelity.get(variable, "1"))[1]
    return None if unit in _RELATIVE else unit


def _observations(service: Service, twin: Twin, source: str) -> dict[str, Property]:
    stream = f"twins/{twin.id}/{source}"
    newest = service.engine.log.last(stream, _LOOKED_AT)
    names = dict.fromkeys(name for event in reversed(newest) for name in event.data)
    return {f"{source}.{name}": _observation(service, twin, source, name) for name in names}


def _observation(service: Service, twin: Twin, source: str, variable: str) -> Property:
    stream = f"twins/{twin.id}/{source}"
    unit = unit_of(twin.manifest, variable)

    def told(event: Event) -> Document | None:
        if variable not in event.data:
            return None
        return {"value": event.data[variable], "time": iso(event.time), "unit": unit, "id": event.id}

    def read() -> Document:
        found = [told(event) for event in service.engine.log.last(stream, _LOOKED_AT)]
        return next(item for item in reversed(found) if item is not None)

    value = {"title": variable, "description": "null where a value is missing."} | ({"unit": unit} if unit else {})
    schema = _object(
        f"{variable} of {source}",
        f"Newest observation of '{variable}' that source '{source}' told.",
        {"value": value, "time": _TIME, "unit": _maybe("string"), "id": {"type": "string"}},
    )
    return Property(schema, read, stream, told=told)


def _own(service: Service, twin: Twin) -> dict[str, Property]:
    stream, updated = f"twins/{twin.id}", ("gemel.twin.updated",)

    def live() -> Document:
        return service.live(twin.id)

    found = {
        "state": Property(_STATE, lambda: _state(service, twin), stream, updated),
        "freshness": Property(
            _FRESHNESS,
            lambda: live()["freshness"]["state"],
            stream,
            ("gemel.twin.freshness",),
            lambda event: event.data.get("state"),
        ),
        "lag": Property(_LAG, lambda: live()["lag"], stream, updated),
        "misfit": Property(_MISFIT, lambda: live()["misfit"] or _NO_MISFIT, stream, updated),
    }
    parameters = twin.manifest.parameters
    if parameters:
        schema = _object(
            "Parameters", "Values that a run uses unless it is given others.", _schemas(parameters), required=parameters
        )
        values = {name: spec.default for name, spec in parameters.items()}
        found["parameters"] = Property(schema, lambda: dict(values))
    return found


def _schemas(parameters: Mapping[str, ParameterSpec]) -> Document:
    return {name: parameter_schema(spec) for name, spec in parameters.items()}


def _state(service: Service, twin: Twin) -> Document:
    state = service.engine.states.latest(twin.id)
    if state is None:
        return {"sequence": 0, "clock": None, "known": None, "run": None, "source": None, "uncertainty": {}}
    told = {"sequence": state.sequence, "clock": iso(state.valid), "known": iso(state.known), "run": state.run}
    return told | {"source": state.source, "uncertainty": dict(state.uncertainty)}


def require_observable(name: str, found: Property) -> str:
    """Return the stream that tells of a property; raise `InvalidInput` when none does."""
    if found.stream is None:
        raise InvalidInput(f"Property '{name}' cannot be observed.", hint="Read it.")
    return found.stream


def _object(title: str, description: str, properties: Mapping[str, Any], required: Iterable[str] = ()) -> Document:
    told: Document = {"title": title, "description": description, "type": "object", "properties": dict(properties)}
    return told | {"required": list(required) or list(properties)}


def _maybe(kind: str, **more: Any) -> Document:
    return {"oneOf": [{"type": kind, **more}, {"type": "null"}]}


_TIME = _maybe("string", format="date-time")
_STATE = _object(
    "State",
    "Newest version of the twin's state: the instant it describes, its version, what brought it about, its doubt.",
    {
        "sequence": {"type": "integer", "minimum": 0},
        "clock": _TIME,
        "known": _TIME,
        "run": _maybe("string"),
        "source": _maybe("string"),
        "uncertainty": {"type": "object"},
    },
)
_FRESHNESS: Document = {
    "title": "Freshness",
    "description": "Whether observations come as often as they should.",
    "type": "string",
    "enum": list(FRESHNESS),
}
_LAG = _object(
    "Lag",
    "Observations that wait, and the physical twin's time between state and newest observation.",
    {"waiting": {"type": "integer", "minimum": 0}, "seconds": _maybe("number", unit="s", minimum=0)},
)
_NO_MISFIT: Document = {"value": None, "unit": None, "variable": None, "declared": None, "diverged": False}
_MISFIT = _object(
    "Misfit",
    "Distance between model and observations beside the declared fidelity.",
    {"value": _maybe("number"), "declared": _maybe("string"), "diverged": {"type": "boolean"}},
)
