"""User-defined processes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gemel.faces.openeo._bodies import with_graph
from gemel.faces.openeo._context import Context, Document, page_links, person

Limit = Annotated[int | None, Query(ge=1, le=10_000)]
_BRIEF = ("process_graph",)


def add_routes(router: APIRouter, context: Context) -> None:
    """Add the routes of stored processes to `router`."""
    processes = context.workspace.processes

    @router.get("/process_graphs")
    def listed(request: Request, limit: Limit = None, after: str | None = None) -> Document:
        found = processes.list(person(request), limit, after)
        links = page_links(request, "/process_graphs", found, limit, found[-1]["id"] if found else None)
        brief = [{name: item for name, item in process.items() if name not in _BRIEF} for process in found]
        return {"processes": brief, "links": links}

    @router.get("/process_graphs/{process_graph_id}")
    def one(process_graph_id: str, request: Request) -> Document:
        return processes.get(person(request), process_graph_id)

    @router.put("/process_graphs/{process_graph_id}")
    def store(process_graph_id: str, process: Document, request: Request) -> Response:
        processes.put(person(request), process_graph_id, with_graph(process))
        return Response(status_code=200)

    @router.delete("/process_graphs/{process_graph_id}", status_code=204)
    def delete(process_graph_id: str, request: Request) -> Response:
        processes.delete(person(request), process_graph_id)
        return Response(status_code=204)
