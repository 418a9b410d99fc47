"""What the engine can do: capabilities, collections, processes, formats, runtimes; and who is asking."""

from __future__ import annotations

import base64
import binascii
import functools
import re
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse

from gemel.faces.openeo import _descriptions
from gemel.faces.openeo._context import (
    API_VERSION,
    STAC_VERSION,
    Context,
    Document,
    address,
    page_links,
    person,
    root,
)
from gemel.faces.openeo._errors import RequestRefused

Limit = Annotated[int | None, Query(ge=1, le=10_000)]
# Conformance classes of openEO API 1.2.0 and of the STAC API parts that its routes are.
CONFORMANCE = (
    "https://api.openeo.org/1.2.0",
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
)
# Routes that openEO does not know are ours alone and not listed as its endpoints.
_OURS = re.compile(r".*/(assets|tiles)/.*")
_PROVIDER = re.compile(r"(?P<id>\w{1,20})=(?P<issuer>https?://\S+)")


def add_routes(router: APIRouter, context: Context) -> None:
    """Add the routes to `router`, which holds all others already."""
    _catalogue(router, context)
    _abilities(router, context)
    _account(router, context)
    endpoints = functools.cache(lambda: _endpoints(router, context))

    @router.get("/")
    def capabilities(request: Request) -> Document:
        return {
            "type": "Catalog",
            "id": "gemel",
            "title": "gemel",
            "description": "A digital twin engine: data cubes, process graphs and batch jobs, each run recorded with its lineage.",
            "api_version": API_VERSION,
            "backend_version": version("gemel"),
            "stac_version": STAC_VERSION,
            "production": False,
            "conformsTo": list(CONFORMANCE),
            "endpoints": endpoints(),
            "links": _links(request),
        }

    @router.get("/conformance")
    def conformance() -> Document:
        return {"conformsTo": list(CONFORMANCE)}


def _catalogue(router: APIRouter, context: Context) -> None:
    @router.get("/collections")
    def collections(request: Request, limit: Limit = None, after: str | None = None) -> Document:
        found = sorted(context.engine.collections.list(), key=lambda item: str(item["id"]))
        found = [item for item in found if after is None or str(item["id"]) > after][:limit]
        last = str(found[-1]["id"]) if found else None
        links = [
            {"rel": "root", "href": address(request, "/")},
            {"rel": "self", "href": address(request, "/collections")},
        ]
        documents = [_descriptions.collection(item, request) for item in found]
        return {"collections": documents, "links": links + page_links(request, "/collections", found, limit, last)}

    # Ids may hold slashes, so the longer path comes first.
    @router.get("/collections/{collection_id:path}/queryables")
    def queryables(collection_id: str, request: Request) -> JSONResponse:
        document = _descriptions.queryables(context.engine.collections.get(collection_id), request)
        return JSONResponse(document, media_type="application/schema+json")

    @router.get("/collections/{collection_id:path}")
    def collection(collection_id: str, request: Request) -> Document:
        return _descriptions.collection(context.engine.collections.get(collection_id), request)


def _abilities(router: APIRouter, context: Context) -> None:
    described = functools.cache(context.hosting.service.processes)

    @router.get("/processes")
    def processes(request: Request, limit: Limit = None, after: str | None = None) -> Document:
        found = [item for item in described() if after is None or item["id"] > after][:limit]
        last = found[-1]["id"] if found else None
        return {"processes": found, "links": page_links(request, "/processes", found, limit, last)}

    @router.get("/file_formats")
    def file_formats() -> Document:
        return _descriptions.formats(context.engine.formats())

    @router.get("/udf_runtimes")
    def udf_runtimes() -> Document:
        known = {item["id"] for item in described()}
        return _descriptions.runtimes() if "run_udf" in known else {}

    @router.get("/service_types")
    def service_types() -> Document:
        return _descriptions.service_types()


def _account(router: APIRouter, context: Context) -> None:
    @router.get("/credentials/basic")
    def basic(request: Request) -> Document:
        token = _password(request)
        if token is None or not context.hosting.authoriser.actor(token).is_owner:
            raise RequestRefused(403, "CredentialsInvalid", "Any name, and the engine's token as password.")
        return {"access_token": token}

    @router.get("/credentials/oidc")
    def oidc() -> Document:
        providers = _providers(context)
        if not providers:
            raise RequestRefused(501, "FeatureUnsupported", "No identity provider is configured (server.oidc).")
        return {"providers": providers}

    @router.get("/me")
    def me(request: Request) -> Document:
        free, quota = context.workspace.files.room()
        name = person(request)
        return {"user_id": name, "name": name, "storage": {"free": free, "quota": quota}, "links": []}


def _password(request: Request) -> str | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise RequestRefused(401, "AuthenticationRequired", "Send name and password (Basic).")
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


def _providers(context: Context) -> list[Document]:
    found = [_PROVIDER.fullmatch(text) for text in context.engine.settings.server.oidc]
    return [
        {"id": match["id"], "issuer": match["issuer"], "title": match["id"], "scopes": ["openid"]}
        for match in found
        if match is not None
    ]


def _endpoints(router: APIRouter, context: Context) -> list[Document]:
    methods: dict[str, set[str]] = {}
    for route in router.routes:
        if isinstance(route, APIRoute) and not _OURS.match(route.path):
            path = route.path.replace(":path}", "}") or "/"
            methods.setdefault(path, set()).update(route.methods or ())
    if not _providers(context):
        methods.pop("/credentials/oidc", None)
    return [{"path": path, "methods": sorted(known - {"HEAD"})} for path, known in sorted(methods.items())]


def _links(request: Request) -> list[Document]:
    known = {
        "self": address(request, "/"),
        "root": address(request, "/"),
        "conformance": address(request, "/conformance"),
        "data": address(request, "/collections"),
        "version-history": f"{root(request)}/.well-known/openeo",
    }
    return [{"rel": rel, "href": href, "type": "application/json"} for rel, href in known.items()]
