"""Batch jobs: created, started, followed, stopped; their results as a STAC Item."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, JSONResponse, Response

from gemel.base.errors import Conflict
from gemel.core.workspace import Job, selected
from gemel.faces.openeo._bodies import ChangedJob, Level, NewJob, with_graph
from gemel.faces.openeo._context import Context, Document, address, page_links, person
from gemel.faces.openeo._documents import (
    estimate_document,
    job_document,
    log_document,
    log_documents,
    result_document,
)

Limit = Annotated[int | None, Query(ge=1, le=10_000)]
_GEOJSON = "application/geo+json"


def add_routes(router: APIRouter, context: Context) -> None:
    """Add the routes of jobs to `router`."""
    _keeping(router, context)
    _following(router, context)
    _results(router, context)


def _keeping(router: APIRouter, context: Context) -> None:
    jobs = context.workspace.jobs

    @router.get("/jobs")
    def listed(request: Request, limit: Limit = None, after: str | None = None) -> Document:
        found = jobs.list(person(request), limit, after)
        links = page_links(request, "/jobs", found, limit, found[-1].id if found else None)
        return {"jobs": [job_document(job) for job in found], "links": links}

    @router.post("/jobs", status_code=201)
    def create(body: NewJob, request: Request) -> Response:
        values = body.values()
        process = with_graph(values.pop("process"))
        job = jobs.create(person(request), process, **_texts(values), settings=values.get("settings"))
        headers = {"OpenEO-Identifier": job.id, "Location": address(request, f"/jobs/{job.id}")}
        return Response(status_code=201, headers=headers)

    @router.get("/jobs/{job_id}")
    def one(job_id: str, request: Request) -> Document:
        return job_document(jobs.get(person(request), job_id), full=True)

    @router.patch("/jobs/{job_id}", status_code=204)
    def change(job_id: str, body: ChangedJob, request: Request) -> Response:
        values = body.values()
        if values.get("process") is not None:
            with_graph(values["process"])
        jobs.change(person(request), job_id, {name: item for name, item in values.items() if _kept(name, item)})
        return Response(status_code=204)

    @router.delete("/jobs/{job_id}", status_code=204)
    def delete(job_id: str, request: Request) -> Response:
        jobs.delete(person(request), job_id)
        return Response(status_code=204)


def _following(router: APIRouter, context: Context) -> None:
    jobs = context.workspace.jobs

    @router.get("/jobs/{job_id}/estimate")
    def estimate(job_id: str, request: Request) -> Document:
        expected = jobs.estimate(person(request), job_id)
        return estimate_document(expected)

    @router.get("/jobs/{job_id}/logs")
    def logs(
        job_id: str, request: Request, offset: str | None = None, level: Level = "debug", limit: Limit = None
    ) -> Document:
        job = jobs.get(person(request), job_id)
        kept = selected(jobs.logs(person(request), job_id), level=_least(job, level), after=offset)[:limit]
        links = page_links(request, f"/jobs/{job_id}/logs", kept, limit, kept[-1].id if kept else None)
        for link in links:
            link["href"] = link["href"].replace("after=", "offset=")
        return {"level": level, "logs": log_documents(kept), "links": links}

    @router.post("/jobs/{job_id}/results", status_code=202)
    def start(job_id: str, request: Request) -> Response:
        jobs.start(person(request), job_id)
        return Response(status_code=202)

    @router.delete("/jobs/{job_id}/results", status_code=204)
    def stop(job_id: str, request: Request) -> Response:
        jobs.stop(person(request), job_id)
        return Response(status_code=204)


def _results(router: APIRouter, context: Context) -> None:
    jobs, files = context.workspace.jobs, context.workspace.results

    @router.get("/jobs/{job_id}/results")
    def results(job_id: str, request: Request, partial: str = "false") -> Response:
        owner = person(request)
        job = jobs.get(owner, job_id)
        try:
            found = jobs.results(owner, job_id, partial=partial.lower() in ("", "true", "1"))
        except Conflict as error:
            if error.context.get("reason") != "failed":
                raise
            return JSONResponse(log_document(jobs.logs(owner, job_id)[-1]), 424)
        wants = request.headers.get("accept", "")
        media_type = _GEOJSON if wants.startswith(_GEOJSON) else "application/json"
        document = result_document(job, found, request, context)
        return JSONResponse(document, media_type=media_type, headers={"OpenEO-Costs": "0"})

    @router.get("/jobs/{job_id}/results/assets/{name}")
    @router.head("/jobs/{job_id}/results/assets/{name}")
    def asset(job_id: str, name: str, request: Request) -> Response:
        found = jobs.results(person(request), job_id, partial=True).asset(name)
        etag = {"ETag": f'"{found.digest}"'}
        return FileResponse(files.path(found), media_type=found.media_type, filename=name, headers=etag)


def _texts(values: Document) -> dict[str, Any]:
    return {name: values.get(name) for name in ("title", "description")}


def _kept(name: str, item: Any) -> bool:
    # A title or description can be taken away again; a process cannot.
    return item is not None or name in ("title", "description")


def _least(job: Job, level: Level) -> Level:
    order: list[Level] = ["debug", "info", "warning", "error"]
    stored: Level = job.settings.get("log_level") or "info"
    return max(level, stored, key=order.index)
