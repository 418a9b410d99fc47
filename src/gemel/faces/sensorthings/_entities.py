"""The data model (OGC 18-088, section 8): kinds of entities, their properties, and how they hang together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote, unquote

from gemel.base.errors import NotFound

Rank = tuple[str, int]
_ABOUT = ("name", "description")

PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "Things": (*_ABOUT, "properties"),
    "Locations": (*_ABOUT, "encodingType", "location", "properties"),
    "HistoricalLocations": ("time",),
    "Datastreams": (*_ABOUT, "observationType", "unitOfMeasurement", "observedArea", "properties"),
    "Sensors": (*_ABOUT, "encodingType", "metadata", "properties"),
    "ObservedProperties": (*_ABOUT, "definition", "properties"),
    "Observations": ("phenomenonTime", "resultTime", "result", "resultQuality", "validTime", "parameters"),
    "FeaturesOfInterest": (*_ABOUT, "encodingType", "feature", "properties"),
}
# Properties that are left out where there is nothing to say; the others are null.
OPTIONAL = ("resultQuality", "validTime", "parameters", "observedArea", "properties")

# By kind: what a navigation property leads to, and whether to many.
LINKS: Mapping[str, Mapping[str, tuple[str, bool]]] = {
    "Things": {
        "Locations": ("Locations", True),
        "HistoricalLocations": ("HistoricalLocations", True),
        "Datastreams": ("Datastreams", True),
    },
    "Locations": {"Things": ("Things", True), "HistoricalLocations": ("HistoricalLocations", True)},
    "HistoricalLocations": {"Thing": ("Things", False), "Locations": ("Locations", True)},
    "Datastreams": {
        "Thing": ("Things", False),
        "Sensor": ("Sensors", False),
        "ObservedProperty": ("ObservedProperties", False),
        "Observations": ("Observations", True),
    },
    "Sensors": {"Datastreams": ("Datastreams", True)},
    "ObservedProperties": {"Datastreams": ("Datastreams", True)},
    "Observations": {"Datastream": ("Datastreams", False), "FeatureOfInterest": ("FeaturesOfInterest", False)},
    "FeaturesOfInterest": {"Observations": ("Observations", True)},
}


@dataclass(frozen=True)
class Entity:
    """One entity.

    Attributes:
        kind: Name of its set, like ``Things``.
        id: Unique in the set, and the same whenever it is asked for.
        properties: Values by name; instants as such.
        rank: Where it stands in the order of the set, which never changes.
    """

    kind: str
    id: str
    properties: Mapping[str, Any]
    rank: Rank


class Collection(Protocol):
    """Entities of one kind, in the order of their ranks.

    Attributes:
        kind: Name of the set.
    """

    kind: str

    def entities(self, after: Rank | None = None, since: datetime | None = None) -> Iterator[Entity]:
        """Yield the entities after a rank.

        Args:
            after: A rank.
            since: Those whose phenomenon was earlier may be left out.
        """

    def get(self, id: str) -> Entity:
        """Return one; raise `NotFound` when it is not among them."""


class Few:
    """A collection that is held in memory."""

    def __init__(self, kind: str, entities: Iterable[Entity]) -> None:
        self.kind = kind
        self._entities = sorted(entities, key=lambda item: item.rank)

    def entities(self, after: Rank | None = None, since: datetime | None = None) -> Iterator[Entity]:
        """Yield the entities after a rank."""
        return (item for item in self._entities if after is None or item.rank > after)

    def get(self, id: str) -> Entity:
        """Return one of them."""
        for item in self._entities:
            if item.id == id:
                return item
        raise nothing(self.kind, id)


def nothing(kind: str, id: str) -> NotFound:
    """Return the error for an id that is not in a set."""
    return NotFound(f"There is no entity '{id}' in {kind}.")


def joined(*parts: str) -> str:
    """Return the id made of names.

    >>> joined("tank", "gauge", "water level"), parted("tank:gauge:water%20level")
    ('tank:gauge:water%20level', ('tank', 'gauge', 'water level'))
    """
    return ":".join(quote(part, safe="@") for part in parts)


def parted(id: str) -> tuple[str, ...]:
    """Return the names that an id is made of."""
    return tuple(unquote(part) for part in id.split(":"))
