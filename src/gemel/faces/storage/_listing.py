"""PROPFIND and PROPPATCH (RFC 4918, sections 9.1 and 9.2): what lies where; properties are those of the files themselves."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from xml.sax.saxutils import escape

from starlette.responses import Response, StreamingResponse

from gemel.faces.storage._asked import Asked
from gemel.faces.storage._conditions import http_date
from gemel.faces.storage._errors import Refusal
from gemel.faces.storage._minting import body_of
from gemel.faces.storage._places import Spot
from gemel.faces.storage._tree import Node, Tree

_LARGEST = 64 << 10  # bytes of a request
_AT_ONCE = 500  # entries that are written for each turn of the event loop
_MEDIA_TYPE = "application/xml; charset=utf-8"
_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n'
_INFINITE = '<?xml version="1.0" encoding="utf-8"?>\n<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>\n'
_ALL = ("resourcetype", "displayname", "getcontentlength", "getcontenttype", "getlastmodified", "getetag")
_ON_REQUEST = ("quota-available-bytes", "creationdate", "supportedlock", "lockdiscovery")
_DAV = "{DAV:}"


async def find(asked: Asked) -> Response:
    """Return the properties of a place (Depth 0), and of what is directly below it (Depth 1)."""
    depth = asked.headers.get("depth", "infinity").strip().lower()
    if depth == "infinity":
        return Response(_INFINITE, 403, media_type=_MEDIA_TYPE)
    if depth not in ("0", "1"):
        raise Refusal(400, "Depth is 0 or 1 here.")
    asked.grant.require(asked.spot, "LIST" if depth == "1" else "READ_METADATA")
    wanted, mode = _wanted(_parsed(await body_of(asked, _LARGEST)))
    found = await asked.element.soon(_found, asked, depth)
    free = await asked.element.soon(_free, asked) if f"{_DAV}quota-available-bytes" in wanted else None
    return StreamingResponse(_answer(asked, found, wanted, mode, free), 207, media_type=_MEDIA_TYPE)


async def patch(asked: Asked) -> Response:
    """Refuse every change, property by property: all of them follow from the file."""
    asked.grant.require(asked.spot, "UPDATE_METADATA")
    root = _parsed(await body_of(asked, _LARGEST))
    if root is None or root.tag != f"{_DAV}propertyupdate":
        raise Refusal(400, "The body is no DAV:propertyupdate.")
    node = await asked.element.soon(asked.node)
    names = [item.tag for prop in root.iter(f"{_DAV}prop") for item in prop]
    status = _status(names, "", "403 Forbidden")
    href = escape(asked.spot.href(node.path, node.folder))
    body = f"{_HEAD}<D:response><D:href>{href}</D:href>{status}</D:response>\n</D:multistatus>\n"
    return Response(body, 207, media_type=_MEDIA_TYPE)


def _found(asked: Asked, depth: str) -> Iterator[tuple[Spot, Node]]:
    spot = asked.spot
    if not spot.storage:
        names = [item.name for item in asked.element.storages.list()] if depth == "1" else []
        return iter([(spot, Node("", True)), *((Spot(name, ""), Node("", True)) for name in names)])
    node = asked.node()
    found = _below(asked.tree(), spot, node, depth == "1" and node.folder)
    # A folder that cannot be listed is found out before the answer begins.
    return chain(list(islice(found, 2)), found)


def _below(tree: Tree, spot: Spot, node: Node, children: bool) -> Iterator[tuple[Spot, Node]]:
    yield spot, node
    if children:
        yield from ((spot, child) for child in tree.children(node.path))


def _free(asked: Asked) -> int | None:
    return asked.tree().free() if asked.spot.storage else None


async def _answer(
    asked: Asked, found: Iterator[tuple[Spot, Node]], wanted: list[str], mode: str, free: int | None
) -> AsyncIterator[str]:
    def some() -> list[str]:
        return [_response(spot, node, wanted, mode, free) for spot, node in islice(found, _AT_ONCE)]

    yield _HEAD
    while lines := await asked.element.soon(some):
        yield "".join(lines)
    yield "</D:multistatus>\n"


def _response(spot: Spot, node: Node, wanted: list[str], mode: str, free: int | None) -> str:
    known = _properties(spot, node, free)
    present = [name for name in wanted if name in known]
    # Who asks for all is told of those that are there; who asks for one by name also that it is not.
    absent = [name for name in wanted if name not in known] if mode == "prop" else []
    values = "".join(_element(name, "" if mode == "propname" else known[name]) for name in present)
    status = f"<D:propstat><D:prop>{values}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>" * bool(present)
    status += _status(absent, "", "404 Not Found") if absent else ""
    return f"<D:response><D:href>{escape(spot.href(node.path, node.folder))}</D:href>{status}</D:response>\n"


def _properties(spot: Spot, node: Node, free: int | None) -> dict[str, str]:
    name = node.path.rpartition("/")[2] or spot.storage or "dav"
    found = {"resourcetype": "<D:collection/>" if node.folder else "", "displayname": escape(name)}
    found |= {"supportedlock": "", "lockdiscovery": ""}
    if not node.folder:
        found |= {"getcontentlength": str(node.size), "getcontenttype": "application/octet-stream"}
    if node.modified is not None:
        created = datetime.fromtimestamp(node.modified, UTC)
        found |= {"getlastmodified": http_date(node.modified), "creationdate": f"{created:%Y-%m-%dT%H:%M:%SZ}"}
    if node.tag:
        found["getetag"] = escape(node.tag)
    if node.folder and free is not None:
        found["quota-available-bytes"] = str(free)
    return {f"{_DAV}{name}": value for name, value in found.items()}


def _wanted(root: ET.Element | None) -> tuple[list[str], str]:
    everything = [f"{_DAV}{name}" for name in _ALL]
    if root is None:
        return everything, "allprop"
    if root.tag != f"{_DAV}propfind":
        raise Refusal(400, "The body is no DAV:propfind.")
    kinds = {item.tag for item in root}
    if f"{_DAV}propname" in kinds:
        return [*everything, *(f"{_DAV}{name}" for name in _ON_REQUEST)], "propname"
    named = [item.tag for prop in root.iterfind(f"{_DAV}prop") for item in prop]
    if f"{_DAV}allprop" in kinds:
        return everything, "allprop"
    if not named:
        raise Refusal(400, "A DAV:propfind says which properties: allprop, propname, or a list.")
    return named, "prop"


def _parsed(body: bytes) -> ET.Element | None:
    if not body.strip():
        return None
    if b"<!" in body.replace(b"<!--", b""):
        raise Refusal(400, "The XML has a document type, which nobody needs here.")
    try:
        return ET.fromstring(body)
    except (ET.ParseError, LookupError, ValueError) as error:
        raise Refusal(400, f"The body is no XML: {error}.") from error


def _status(names: list[str], value: str, status: str) -> str:
    values = "".join(_element(name, value) for name in names)
    return f"<D:propstat><D:prop>{values}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>"


def _element(name: str, value: str) -> str:
    namespace, _, local = name.rpartition("}")
    if namespace == "{DAV:":
        return f"<D:{local}>{value}</D:{local}>" if value else f"<D:{local}/>"
    quoted = escape(namespace.removeprefix("{"), {'"': "&quot;"})
    return f'<{local} xmlns="{quoted}">{value}</{local}>' if value else f'<{local} xmlns="{quoted}"/>'
