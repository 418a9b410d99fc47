"""Entities and pages as the standard writes them: with ids, links, and what was asked to be shown whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import quote, urlencode

from gemel.base.clock import iso
from gemel.base.errors import InvalidInput
from gemel.faces.sensorthings._entities import LINKS, OPTIONAL, PROPERTIES, Collection, Entity
from gemel.faces.sensorthings._options import Options
from gemel.faces.sensorthings._pages import Page, page_of
from gemel.faces.sensorthings._world import World

Document = dict[str, Any]
PREFIX = "/sensorthings/v1.1"
_LARGEST_ANSWER = 20_000  # entities
_COLUMNS = ("id", "phenomenonTime", "resultTime", "result", "resultQuality", "validTime", "parameters")


@dataclass
class Rendering:
    """Writes what one request answers with.

    Attributes:
        world: Tells what is related.
        root: Address of the service's root.
        left: How many entities may still be written.
    """

    world: World
    root: str
    left: int = field(default_factory=lambda: _LARGEST_ANSWER)

    def address(self, entity: Entity) -> str:
        """Return the address of an entity."""
        id = quote(entity.id.replace("'", "''"), safe=":@~.")
        return f"{self.root}/{entity.kind}('{id}')"

    def entity(self, entity: Entity, options: Options) -> Document:
        """Return an entity with what was selected and expanded."""
        self.left -= 1
        if self.left < 0:
            message = f"The answer would have more than {_LARGEST_ANSWER:,} entities."
            raise InvalidInput(message, hint="Expand less, or ask for smaller pages.")
        here, chosen = self.address(entity), options.select
        document: Document = {"@iot.id": entity.id, "@iot.selfLink": here}
        if chosen is not None:
            document = {name: value for name, value in document.items() if name in chosen}
        for name in PROPERTIES[entity.kind]:
            value = written(entity.properties.get(name))
            if (chosen is None or name in chosen) and (value is not None or name not in OPTIONAL):
                document[name] = value
        for name in LINKS[entity.kind]:
            if chosen is None or name in chosen:
                document[f"{name}@iot.navigationLink"] = f"{here}/{name}"
        for name, inner in options.expand.items():
            document |= self._expanded(entity, name, inner, f"{here}/{name}")
        return document

    def page(self, collection: Collection, options: Options, address: str) -> Document:
        """Return a page of a set, and the address of the next one."""
        page = page_of(collection, options, self.world)
        values = (
            self._arrays(page, options) if options.array else [self.entity(item, options) for item in page.entities]
        )
        return _counted(page) | _next(page, options, address) | {"value": values}

    def references(self, collection: Collection, options: Options, address: str) -> Document:
        """Return the addresses of the entities of a page."""
        page = page_of(collection, options, self.world)
        links = [{"@iot.selfLink": self.address(item)} for item in page.entities]
        return _counted(page) | _next(page, options, address) | {"value": links}

    def _expanded(self, entity: Entity, name: str, options: Options, address: str) -> Document:
        found = self.world.related(entity, name)
        if isinstance(found, Entity):
            return {name: self.entity(found, options)}
        page = self.page(found, options, address)
        return {name: page.pop("value")} | {f"{name}{about}": value for about, value in page.items()}

    def _arrays(self, page: Page, options: Options) -> list[Document]:
        """Return observations as data arrays, one for each datastream (OGC 18-088, section 12.1)."""
        names = [name for name in _COLUMNS if options.select is None or _named(name) in options.select]
        found = []
        for series, group in groupby(page.entities, key=lambda item: item.rank[0]):
            items = list(group)
            parent = self.world.related(items[0], "Datastream")
            assert isinstance(parent, Entity) and parent.id == series
            rows = [
                [item.id if name == "id" else written(item.properties.get(name)) for name in names] for item in items
            ]
            link = {"Datastream@iot.navigationLink": self.address(parent)}
            found.append(link | {"components": names, "dataArray@iot.count": len(rows), "dataArray": rows})
        return found


def written(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {name: written(item) for name, item in value.items()}
    return value


def _named(column: str) -> str:
    return "@iot.id" if column == "id" else column


def _counted(page: Page) -> Document:
    return {} if page.count is None else {"@iot.count": page.count}


def _next(page: Page, options: Options, address: str) -> Document:
    if page.token is None:
        return {}
    kept = {name: value for name, value in options.raw.items() if name not in ("$skip", "$skiptoken")}
    return {"@iot.nextLink": f"{address}?{urlencode(kept | {'$skiptoken': page.token}, quote_via=quote, safe='$')}"}
