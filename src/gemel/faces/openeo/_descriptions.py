"""What the engine offers, described in the words of the openEO API."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.requests import Request

from gemel.core.workspace import RAMPS
from gemel.faces.openeo._context import Document, address

# What a user-defined function finds beside Python itself.
_LIBRARIES = ("numpy", "pandas", "scipy", "xarray")
# The API's schema of parameters matches several of its own branches unless a subtype says that it is neither a process
# graph nor a data cube (schema `process_json_schema`).
_PLAIN = {"subtype": "option"}
_DRAFT = "http://json-schema.org/draft-07/schema#"
_KINDS = {"raster", "vector", "table", "pointcloud", "other"}


def collection(item: Mapping[str, Any], request: Request) -> Document:
    """Return a STAC Collection as the API serves it: with its links, and the members that openEO demands."""
    path = f"/collections/{item['id']}"
    known = {"self": path, "root": "/", "parent": "/"}
    links = [{"rel": rel, "href": address(request, place), "type": "application/json"} for rel, place in known.items()]
    queryable = {
        "rel": "http://www.opengis.net/def/rel/ogc/1.0/queryables",
        "href": address(request, f"{path}/queryables"),
        "type": "application/schema+json",
    }
    # Where its files lie on the engine's disk is nobody's business.
    kept = [link for link in item.get("links", ()) if str(link.get("href", "")).startswith(("http://", "https://"))]
    document = {name: content for name, content in item.items() if name not in ("assets", "item_assets")}
    return document | {
        "cube:dimensions": item.get("cube:dimensions") or {},
        "summaries": item.get("summaries") or {},
        "links": [*links, queryable, *kept],
    }


def queryables(item: Mapping[str, Any], request: Request) -> Document:
    """Return the JSON Schema of the properties that the items of a collection can be filtered by."""
    properties = {}
    for name, summary in (item.get("summaries") or {}).items():
        if name != "bands":
            properties[name] = _property(summary)
    return {
        "$schema": _DRAFT,
        "$id": address(request, f"/collections/{item['id']}/queryables"),
        "type": "object",
        "title": f"Properties of {item['id']}",
        "properties": properties,
        "additionalProperties": False,
    }


def _property(summary: Any) -> Document:
    if isinstance(summary, list):
        return {"enum": summary}
    if isinstance(summary, Mapping) and {"minimum", "maximum"} <= summary.keys():
        if isinstance(summary["minimum"], str):
            return {"type": "string", "format": "date-time"}
        return {"type": "number", "minimum": summary["minimum"], "maximum": summary["maximum"]}
    return dict(summary) if isinstance(summary, Mapping) else {}


def formats(found: Iterable[Any]) -> Document:
    """Return the file formats that can be read and written."""
    document: Document = {"input": {}, "output": {}}
    for item in found:
        entry = {
            "title": item.title,
            "description": item.description,
            "gis_data_types": [kind for kind in item.kinds if kind in _KINDS] or ["other"],
        }
        for side, able in (("input", item.reader), ("output", item.writer)):
            if able is not None:
                schemas = getattr(item, f"{side}_parameters")
                parameters = {name: option(schema) for name, schema in schemas.items()}
                document[side][item.name] = entry | {"parameters": parameters}
    return document


def option(schema: Mapping[str, Any]) -> Document:
    """Return a parameter of a file format or service as the API describes it (schema `resource_parameter`)."""
    return _PLAIN | {"description": schema.get("title", "")} | dict(schema)


def runtimes() -> Document:
    """Return the languages of user-defined functions, and what they find there."""
    libraries = {name: {"version": found} for name in _LIBRARIES if (found := _version(name)) is not None}
    major = ".".join(platform.python_version_tuple()[:2])
    return {
        "Python": {
            "title": f"Python {major}",
            "description": "A function on data cubes, run in a process of its own.",
            "type": "language",
            "default": major,
            "versions": {major: {"libraries": libraries}},
            "links": [],
        }
    }


def service_types() -> Document:
    """Return the types of secondary services."""
    number = {"type": "number"}
    configuration: dict[str, Document] = {
        "minimum": number | {"description": "Value of the first colour; the 2nd percentile of the result by default."},
        "maximum": number | {"description": "Value of the last colour; the 98th percentile of the result by default."},
        "ramp": {
            "type": "string",
            "enum": list(RAMPS),
            "default": next(iter(RAMPS)),
            "description": "Colours from the minimum to the maximum.",
        },
        "resampling": {
            "type": "string",
            "enum": ["nearest", "bilinear"],
            "default": "nearest",
            "description": "How values between cells are found.",
        },
        "select": {
            "type": "object",
            "description": "Labels by dimension, for the dimensions that are not on the map; the last label by default.",
        },
    }
    return {
        "XYZ": {
            "title": "Map tiles",
            "description": "The result as PNG tiles of 256 by 256 pixels in spherical Mercator, computed once.",
            "configuration": {name: option(schema) for name, schema in configuration.items()},
            "process_parameters": [],
            "links": [],
        }
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
