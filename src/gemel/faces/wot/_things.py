"""Thing Descriptions (W3C Recommendation, TD 1.1, December 2023) of twins, and of the engine that keeps them."""

from __future__ import annotations

import re
import uuid
from importlib.metadata import version
from typing import Any

from gemel.core.twin import Twin
from gemel.faces.wot._actions import actions_of
from gemel.faces.wot._asked import JSON, TD, Asked
from gemel.faces.wot._events import EVENTS, schema
from gemel.faces.wot._properties import Property, properties_of

Document = dict[str, Any]
CONTEXT: list[Any] = [
    "https://www.w3.org/2022/wot/td/v1.1",
    {
        "@language": "en",
        "gemel": "urn:gemel:terms:",
        "geo": "http://www.w3.org/2003/01/geo/wgs84_pos#",
        "schema": "https://schema.org/",
    },
]
_SECURITY = {
    "bearer_sc": {
        "scheme": "bearer",
        "in": "header",
        "name": "Authorization",
        "format": "opaque",
        "description": "The engine's token. Addresses of event streams open without it for a day.",
    }
}
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_SSE = {"subprotocol": "sse", "contentType": JSON}


def twin_thing(asked: Asked, twin: Twin) -> Document:
    """Return the description of a twin; every form in it works on this server."""
    table, physical = twin.manifest.twin, twin.manifest.physical
    about = {"title": table.title or twin.id, "description": table.summary or physical.description or twin.id}
    place: Document = {
        "geo:lat": physical.latitude,
        "geo:long": physical.longitude,
        "schema:location": physical.place or None,
    }
    declared = {"gemel:syncInterval": physical.sync, "gemel:fidelity": dict(physical.fidelity)}
    here = ("things", twin.id)
    document = _head(asked, f"twins/{twin.id}", about) | {"version": {"instance": table.version}}
    document |= {name: value for name, value in place.items() if value is not None} | declared
    return document | {
        "links": _links(asked, twin),
        "properties": {
            name: _property(asked, here, name, item) for name, item in properties_of(asked.service, twin).items()
        },
        "actions": {
            name: item.about | {"forms": [_post(asked, *here, "actions", name)]}
            for name, item in actions_of(asked.service, twin).items()
        },
        "events": {name: _event(asked, here, name, text) for name, (_, text) in EVENTS.items()},
        "forms": [_get(asked, "readallproperties", *here, "properties")],
    }


def engine_thing(asked: Asked) -> Document:
    """Return the description of the engine itself, from which every twin can be found."""
    about = {"title": "gemel", "description": "A Digital Twin Engine: each of its twins is a Thing."}
    links = [
        {"rel": "item", "href": asked.address("things", item["id"]), "type": TD}
        for item in asked.service.twins()
        if item["problem"] is None
    ]
    things = {
        "title": "Things",
        "description": "Description of every twin that can be found.",
        "type": "array",
        "items": {"type": "object"},
        "readOnly": True,
        "forms": [_get(asked, "readproperty", "things")],
    }
    document = _head(asked, "engine", about) | {"version": {"instance": version("gemel")}}
    return document | {"links": links, "properties": {"things": things}}


def _head(asked: Asked, name: str, about: Document) -> Document:
    # The same twin in two homes is two Things: states and observations are those of the home.
    home = asked.service.engine.settings.home.resolve().as_uri()
    return {
        "@context": CONTEXT,
        "@type": "Thing",
        "id": uuid.uuid5(uuid.NAMESPACE_URL, f"{home}/{name}").urn,
        **about,
        "securityDefinitions": _SECURITY,
        "security": ["bearer_sc"],
    }


def _links(asked: Asked, twin: Twin) -> list[Document]:
    licence, native = twin.manifest.twin.licence, f"{asked.root}/api/v1/twins/{twin.id}"
    found: list[Document] = [
        {"rel": "collection", "href": asked.address("things"), "type": "application/ld+json"},
        {"rel": "describedby", "href": f"{native}/card", "type": "text/markdown"},
        {"rel": "alternate", "href": native, "type": JSON},
    ]
    if _SPDX.fullmatch(licence):
        found.append({"rel": "license", "href": f"https://spdx.org/licenses/{licence}.html", "type": "text/html"})
    if asked.service.report(twin.id) is not None:
        found.append({"rel": "gemel:report", "href": f"{native}/report", "type": JSON})
    return found


def _property(asked: Asked, here: tuple[str, str], name: str, item: Property) -> Document:
    forms = [_get(asked, "readproperty", *here, "properties", name)]
    if item.stream is not None:
        href = asked.opened(*here, "properties", name, "observe")
        forms.append({"href": href, "op": ["observeproperty", "unobserveproperty"], **_SSE})
    return item.schema | {"readOnly": True, "observable": item.stream is not None, "forms": forms}


def _event(asked: Asked, here: tuple[str, str], name: str, text: str) -> Document:
    form = {"href": asked.opened(*here, "events", name), "op": ["subscribeevent", "unsubscribeevent"], **_SSE}
    return {"title": name, "description": text, "data": schema(name), "forms": [form]}


def _get(asked: Asked, op: str, *parts: str) -> Document:
    return {"href": asked.address(*parts), "op": [op], "contentType": JSON, "htv:methodName": "GET"}


def _post(asked: Asked, *parts: str) -> Document:
    return {"href": asked.address(*parts), "op": ["invokeaction"], "contentType": JSON, "htv:methodName": "POST"}
