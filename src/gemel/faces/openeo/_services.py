"""Secondary services, and the map tiles they serve."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gemel.core.workspace import SecondaryService, selected
from gemel.faces.openeo._bodies import ChangedService, Level, NewService, with_graph
from gemel.faces.openeo._context import Context, Document, address, page_links, person
from gemel.faces.openeo._documents import log_documents, service_document

Limit = Annotated[int | None, Query(ge=1, le=10_000)]
_TILE = "/{z}/{x}/{y}.png"
_PATIENCE_SECONDS = 60.0
_CACHED = {"Cache-Control": "private, max-age=300"}


def add_routes(router: APIRouter, context: Context) -> None:
    """Add the routes of secondary services to `router`."""
    _keeping(router, context)
    _serving(router, context)


def _keeping(router: APIRouter, context: Context) -> None:
    services = context.workspace.services

    @router.get("/services")
    def listed(request: Request, limit: Limit = None, after: str | None = None) -> Document:
        found = services.list(person(request), limit, after)
        links = page_links(request, "/services", found, limit, found[-1].id if found else None)
        documents = [service_document(item, _url(context, request, item)) for item in found]
        return {"services": documents, "links": links}

    @router.post("/services", status_code=201)
    def create(body: NewService, request: Request) -> Response:
        values = body.values()
        process, kind = with_graph(values.pop("process")), values.pop("type")
        service = services.create(person(request), kind, process, values)
        headers = {"OpenEO-Identifier": service.id, "Location": address(request, f"/services/{service.id}")}
        return Response(status_code=201, headers=headers)

    @router.get("/services/{service_id}")
    def one(service_id: str, request: Request) -> Document:
        service = services.get(person(request), service_id)
        return service_document(service, _url(context, request, service), full=True)

    @router.patch("/services/{service_id}", status_code=204)
    def change(service_id: str, body: ChangedService, request: Request) -> Response:
        values = {name: item for name, item in body.values().items() if item is not None or name in _ERASABLE}
        if "process" in values:
            with_graph(values["process"])
        services.change(person(request), service_id, values)
        return Response(status_code=204)

    @router.delete("/services/{service_id}", status_code=204)
    def delete(service_id: str, request: Request) -> Response:
        services.delete(person(request), service_id)
        return Response(status_code=204)


def _serving(router: APIRouter, context: Context) -> None:
    services = context.workspace.services

    @router.get("/services/{service_id}/logs")
    def logs(
        service_id: str, request: Request, offset: str | None = None, level: Level = "debug", limit: Limit = None
    ) -> Document:
        kept = selected(services.logs(person(request), service_id), level=level, after=offset)[:limit]
        return {"level": level, "logs": log_documents(kept), "links": []}

    @router.get("/services/{service_id}/tiles/{z}/{x}/{y}.png")
    def tile(service_id: str, z: int, x: int, y: int, request: Request) -> Response:
        image = services.tile(person(request), service_id, (z, x, y), _PATIENCE_SECONDS)
        return Response(image, media_type="image/png", headers=_CACHED)


_ERASABLE = ("title", "description")


def _url(context: Context, request: Request, service: SecondaryService) -> str:
    """Return the address of the tiles, signed: map clients cannot send a token."""
    place, query = context.signed(request, f"/services/{service.id}/tiles").split("?")
    return f"{place}{_TILE}?{query}"
