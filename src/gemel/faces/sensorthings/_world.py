"""The entities of an engine, and what each is related to."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from gemel.base.errors import NotFound
from gemel.core.engine import Engine
from gemel.core.stream import finite
from gemel.core.twin import Twin
from gemel.faces.sensorthings._entities import Collection, Entity, Few, Rank, joined, nothing, parted
from gemel.faces.sensorthings._series import MODEL, Reading, Series, series_of

Document = dict[str, Any]
_GEOJSON = "application/geo+json"
_TYPES = "http://www.opengis.net/def/observationType/OGC-OM/2.0/"
_LOADED_SECONDS = 1.0
_TWIN = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_POSITION = re.compile(r"[1-9][0-9]{0,17}")


class Twins:
    """The twins of an engine, each looked for once a second at most: loading one digests its files."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._every: tuple[float, list[Twin]] = (float("-inf"), [])
        self._known: dict[str, tuple[float, Twin]] = {}

    def all(self) -> list[Twin]:
        """Return the twins that can be used."""
        with self._lock:
            if time.monotonic() - self._every[0] > _LOADED_SECONDS:
                found = {twin.id: twin for twin, _, _ in self._engine.twins() if twin is not None}
                found |= {id: self._engine.twin(id) for id in self._engine.live_ids()}
                now = time.monotonic()
                self._every = (now, list(found.values()))
                self._known = {id: (now, twin) for id, twin in found.items()}
            return self._every[1]

    def get(self, id: str) -> Twin:
        """Return one of them; raise `NotFound` when there is none."""
        with self._lock:
            since, twin = self._known.get(id, (float("-inf"), None))
            if twin is None or time.monotonic() - since > _LOADED_SECONDS:
                # The engine takes folders, too; here a twin is known by its id alone.
                twin = self._engine.twin(id) if _TWIN.fullmatch(id) else None
                if twin is None or twin.id != id:
                    raise NotFound(f"There is no twin '{id}'.")
                self._known[id] = (time.monotonic(), twin)
            return twin


class World:
    """All entities, as one request finds them."""

    def __init__(self, engine: Engine, twins: Twins) -> None:
        self._engine, self._twins = engine, twins
        self._series: dict[str, dict[str, Series]] = {}

    def all(self, kind: str) -> Collection:
        """Return the set of a kind."""
        return self._of_twins(kind, self._twins.all())

    def get(self, kind: str, id: str) -> Entity:
        """Return one entity; raise `NotFound` when there is none."""
        try:
            twin = self._twins.get(parted(id)[0])
        except NotFound as error:
            raise nothing(kind, id) from error
        return self._of_twins(kind, [twin]).get(id)

    def _of_twins(self, kind: str, twins: Sequence[Twin]) -> Collection:
        if kind == "Observations":
            return Observations(self._every_series(twins))
        makers: dict[str, Callable[[], Iterable[Entity]]] = {
            "Things": lambda: map(_thing, twins),
            "Locations": lambda: filter(None, map(_location, twins)),
            "HistoricalLocations": lambda: (),
            "FeaturesOfInterest": lambda: map(_feature, twins),
            "Datastreams": lambda: map(_datastream, self._every_series(twins)),
            "ObservedProperties": lambda: map(_observed_property, self._every_series(twins)),
            "Sensors": lambda: (item for twin in twins for item in self._sensors(twin)),
        }
        return Few(kind, makers[kind]())

    def related(self, entity: Entity, name: str) -> Entity | Collection:
        """Return what a navigation property of an entity leads to."""
        twin = self._twin(entity)
        to: dict[str, Callable[[], Entity | Collection]] = {
            "Thing": lambda: _thing(twin),
            "Things": lambda: Few("Things", [_thing(twin)]),
            "Locations": lambda: Few("Locations", filter(None, [_location(twin)])),
            "HistoricalLocations": lambda: Few("HistoricalLocations", []),
            "Sensor": lambda: _sensor(twin, parted(entity.id)[1]),
            "FeatureOfInterest": lambda: _feature(twin),
            "ObservedProperty": lambda: _observed_property(self.series(entity.id)),
            "Datastream": lambda: _datastream(self.series(entity.id)),
            "Datastreams": lambda: Few("Datastreams", map(_datastream, self._below(entity))),
            "Observations": lambda: Observations(self._below(entity)),
        }
        return to[name]()

    def series(self, id: str) -> Series:
        """Return the series that an id of a datastream, or of something in it, names."""
        parts = parted(id)[:3]
        known = self._of(self._twins.get(parts[0]))
        if joined(*parts) not in known:
            raise nothing("Datastreams", joined(*parts))
        return known[joined(*parts)]

    def _twin(self, entity: Entity) -> Twin:
        return self._twins.get(parted(entity.id)[0])

    def _of(self, twin: Twin) -> dict[str, Series]:
        if twin.id not in self._series:
            self._series[twin.id] = {_id(item): item for item in series_of(self._engine, twin)}
        return self._series[twin.id]

    def _every_series(self, twins: Iterable[Twin]) -> list[Series]:
        return [series for twin in twins for series in self._of(twin).values()]

    def _below(self, entity: Entity) -> list[Series]:
        begin = parted(entity.id)[:3]
        return [item for id, item in self._of(self._twin(entity)).items() if parted(id)[: len(begin)] == begin]

    def _sensors(self, twin: Twin) -> list[Entity]:
        parts = dict.fromkeys([*twin.manifest.sources, *(item.part for item in self._of(twin).values())])
        return [_sensor(twin, part) for part in parts]


class Observations:
    """The readings of some series, one series after the other (see `Collection`)."""

    kind = "Observations"

    def __init__(self, series: Iterable[Series]) -> None:
        self._series = sorted(((_id(item), item) for item in series), key=lambda pair: pair[0])

    def entities(self, after: Rank | None = None, since: datetime | None = None) -> Iterator[Entity]:
        """Yield observations after a rank; the log is read page by page."""
        first, position = after or ("", 0)
        for id, series in self._series:
            if id >= first:
                for reading in series.readings(position if id == first else 0, since):
                    yield _observation(id, reading)

    def get(self, id: str) -> Entity:
        """Return one of them."""
        name, _, number = id.rpartition(":")
        series = dict(self._series).get(name)
        position = int(number) if _POSITION.fullmatch(number) else 0
        reading = series.at(position) if series else None
        if reading is None:
            raise nothing(self.kind, id)
        return _observation(name, reading)


def _id(series: Series) -> str:
    return joined(series.twin.id, series.part, series.variable)


def _entity(kind: str, id: str, **properties: Any) -> Entity:
    return Entity(kind, id, properties, (id, 0))


def _observation(series: str, reading: Reading) -> Entity:
    properties = {
        "phenomenonTime": reading.time,
        "resultTime": reading.known,
        "result": finite(reading.result),
        "resultQuality": reading.quality,
        "parameters": dict(reading.about),
    }
    return Entity("Observations", f"{series}:{reading.position}", properties, (series, reading.position))


def _thing(twin: Twin) -> Entity:
    table, physical = twin.manifest.twin, twin.manifest.physical
    told: Document = {"version": table.version, "sync": physical.sync, "fidelity": dict(physical.fidelity)}
    told |= {"licence": table.licence} if table.licence else {}
    told |= {"physical": physical.title} if physical.title else {}
    return _entity(
        "Things", joined(twin.id), name=table.title or twin.id, description=table.summary or twin.id, properties=told
    )


def _place(twin: Twin) -> tuple[str, str]:
    physical = twin.manifest.physical
    name = physical.place or physical.title or twin.id
    return name, physical.description or name


def _geometry(twin: Twin) -> Document | None:
    physical = twin.manifest.physical
    if physical.latitude is None or physical.longitude is None:
        return None
    return {"type": "Point", "coordinates": [physical.longitude, physical.latitude]}


def _location(twin: Twin) -> Entity | None:
    geometry = _geometry(twin)
    if geometry is None:
        return None
    name, text = _place(twin)
    return _entity("Locations", joined(twin.id), name=name, description=text, encodingType=_GEOJSON, location=geometry)


def _feature(twin: Twin) -> Entity:
    name, text = _place(twin)
    # RFC 7946, section 3.2: a feature without a location has a null geometry.
    feature = _geometry(twin) or {"type": "Feature", "geometry": None, "properties": {"name": name}}
    return _entity(
        "FeaturesOfInterest", joined(twin.id), name=name, description=text, encodingType=_GEOJSON, feature=feature
    )


def _sensor(twin: Twin, part: str) -> Entity:
    if part == MODEL:
        name, kind, id = "model", "model", joined(twin.id, MODEL)
        text = f"The model of twin '{twin.id}': what its updates give."
    else:
        if part not in twin.manifest.sources:
            raise NotFound(f"Twin '{twin.id}' has no source '{part}'.")
        name, kind, id = part, twin.manifest.sources[part].kind, joined(twin.id, part)
        text = f"Source '{part}' ({kind}) of twin '{twin.id}'."
    told = {"kind": kind}
    return _entity("Sensors", id, name=name, description=text, encodingType="text/html", metadata=text, properties=told)


def _observed_property(series: Series) -> Entity:
    id = _id(series)
    return _entity(
        "ObservedProperties",
        id,
        name=series.variable,
        description=f"What twin '{series.twin.id}' calls '{series.variable}'.",
        definition=f"urn:gemel:observed-property:{id}",
    )


def _datastream(series: Series) -> Entity:
    whose = "its model" if series.part == MODEL else f"source '{series.part}'"
    kind = "model" if series.part == MODEL else "observation"
    told = {"kind": kind} | ({} if series.unit else {"unit": "unknown: nobody declared it"})
    unit = {"name": series.unit, "symbol": series.unit, "definition": _defined(series.unit)}
    return _entity(
        "Datastreams",
        _id(series),
        name=f"{series.variable} of {series.part.lstrip('@')}",
        description=f"'{series.variable}' that {whose} tells twin '{series.twin.id}'.",
        observationType=_TYPES + ("OM_Measurement" if series.numeric else "OM_Observation"),
        unitOfMeasurement=unit,
        properties=told,
    )


def _defined(unit: str | None) -> str | None:
    # Units are written as UDUNITS reads them; it is what tells their meaning.
    return None if unit is None else "https://www.unidata.ucar.edu/software/udunits/"
