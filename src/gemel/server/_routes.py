"""The native API under /api/v1: every route hands on to the engine's service, nothing is decided here."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from gemel.base.errors import NotFound
from gemel.core.engine import Service
from gemel.server._listening import listened, resumed

Document = dict[str, Any]
Wait = Annotated[float, Query(ge=0, le=300, description="Seconds to wait for the run's end.")]
_HEARTBEAT_SECONDS = 15.0
_LOOK_SECONDS = 1.0


class NewRun(BaseModel):
    """Body of a request for a run."""

    model_config = ConfigDict(extra="forbid")

    graph: str | None = None
    parameters: dict[str, Any] = {}


class NewGraphRun(BaseModel):
    """Body of a request for a run of a graph that belongs to no twin."""

    model_config = ConfigDict(extra="forbid")

    process: Document
    parameters: dict[str, Any] = {}


class Scenario(BaseModel):
    """Body of a what-if: values of the twin's parameters, numbers or texts with a unit."""

    model_config = ConfigDict(extra="forbid")

    parameters: dict[str, float | str] = {}


class Version(BaseModel):
    """Body of a pull: which version, the newest when left out."""

    model_config = ConfigDict(extra="forbid")

    version: str | None = None


def api(service: Service) -> APIRouter:
    """Return the routes of the native API."""
    router = APIRouter(prefix="/api/v1")
    _twin_routes(router, service)
    _use_routes(router, service)
    _trust_routes(router, service)
    _run_routes(router, service)
    _stored_routes(router, service)
    _stream_routes(router, service)
    return router


def _twin_routes(router: APIRouter, service: Service) -> None:
    @router.get("/twins")
    def twins() -> Document:
        return {"twins": service.twins()}

    @router.get("/twins/{twin}")
    def twin(twin: str) -> Document:
        return service.twin(twin)

    @router.get("/twins/{twin}/card", response_class=PlainTextResponse)
    def card(twin: str) -> Response:
        return PlainTextResponse(service.card(twin), media_type="text/markdown")

    @router.get("/twins/{twin}/live")
    def live(twin: str) -> Document:
        return service.live(twin)

    @router.get("/twins/{twin}/views")
    def views(twin: str, run: str | None = None) -> Document:
        return {"views": service.views(twin, run)}

    @router.get("/twins/{twin}/views/{view}")
    def view(twin: str, view: str) -> Document:
        for document in service.views(twin):
            if document["id"] == view:
                return document
        raise NotFound(f"Twin '{twin}' has no view '{view}'.")


def _use_routes(router: APIRouter, service: Service) -> None:
    @router.post("/twins/{twin}/whatif")
    def whatif(twin: str, body: Scenario, wait: Wait = 10.0) -> Document:
        return service.whatif(twin, body.parameters, wait)

    @router.post("/twins/{twin}/runs", status_code=201)
    def start(twin: str, body: NewRun, wait: Wait = 0.0) -> Document:
        return service.start(twin, body.graph, body.parameters, wait)


def _trust_routes(router: APIRouter, service: Service) -> None:
    @router.post("/twins/{twin}/check")
    def check(twin: str) -> Document:
        return service.check(twin)

    @router.get("/twins/{twin}/report")
    def report(twin: str) -> Document:
        found = service.report(twin)
        if found is None:
            raise NotFound(f"Twin '{twin}' has not been checked.", hint=f"gemel check {twin}")
        return found

    @router.post("/twins/{twin}/publish")
    def publish(twin: str) -> Document:
        return service.publish(twin)

    @router.post("/twins/{twin}/pull")
    def pull(twin: str, body: Version | None = None) -> Document:
        return service.pull(twin, body.version if body else None)

    @router.get("/compare")
    def compare(a: str, b: str) -> Document:
        return service.compare(a, b)

    @router.get("/processes")
    def processes() -> Document:
        return {"processes": service.processes()}

    @router.post("/validation")
    def validation(graph: Document, twin: str | None = None) -> Document:
        return {"findings": service.validate(graph, twin)}

    @router.get("/plugins")
    def plugins() -> Document:
        return {"plugins": service.plugins()}


def _run_routes(router: APIRouter, service: Service) -> None:
    @router.get("/runs")
    def runs(
        twin: str | None = None, state: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 50
    ) -> Document:
        return {"runs": service.runs(twin, state, limit)}

    @router.post("/runs", status_code=201)
    def start(body: NewGraphRun, wait: Wait = 0.0) -> Document:
        return service.run_graph(body.process, body.parameters, wait)

    @router.post("/estimates")
    def estimate(body: NewGraphRun) -> Document:
        return service.estimate_graph(body.process, body.parameters)

    @router.get("/runs/{run}")
    def run(run: str, wait: Wait = 0.0) -> Document:
        return service.wait(run, wait) if wait else service.run(run)

    @router.post("/runs/{run}/cancel")
    def cancel(run: str) -> Document:
        return service.cancel(run)

    @router.get("/runs/{run}/logs")
    def logs(run: str) -> Document:
        return {"logs": service.logs(run)}

    @router.get("/runs/{run}/explain")
    def explain(run: str) -> Document:
        return service.explain(run)

    @router.get("/runs/{run}/outputs/{name}")
    def output(run: str, name: str, format: str | None = None) -> Response:
        data, media_type = service.output_bytes(run, name, format)
        suffix = {"application/x-netcdf": "nc", "text/csv": "csv"}.get(media_type, "json")
        headers = {"Content-Disposition": f'attachment; filename="{name}.{suffix}"'}
        return Response(data, media_type=media_type, headers=headers)


def _stored_routes(router: APIRouter, service: Service) -> None:
    @router.get("/runs/{run}/outputs/{name}/stored")
    def stored(run: str, name: str) -> Response:
        return _bytes(*service.stored_output(run, name))

    @router.get("/runs/{run}/outputs/{name}/files/{file}")
    def saved(run: str, name: str, file: str) -> Response:
        return _bytes(*service.stored_output(run, name, file))


def _bytes(content: bytes | Path, media_type: str, digest: str) -> Response:
    """Return content under its digest; it never changes."""
    told = base64.b64encode(bytes.fromhex(digest)).decode()
    headers = {"ETag": f'"{digest}"', "Repr-Digest": f"sha-256=:{told}:", "Content-Disposition": "attachment"}
    if isinstance(content, Path):
        return FileResponse(content, media_type=media_type, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _stream_routes(router: APIRouter, service: Service) -> None:
    @router.get("/twins/{twin}/events")
    async def twin_events(twin: str, request: Request) -> StreamingResponse:
        await run_in_threadpool(service.twin, twin)
        after = resumed(request, await run_in_threadpool(service.last_position, twin))
        return _sse(_twin_messages(service, twin, after, request))

    @router.get("/runs/{run}/events")
    async def run_events(run: str, request: Request) -> StreamingResponse:
        await run_in_threadpool(service.run, run)
        return _sse(_run_messages(service, run, request))


async def _twin_messages(service: Service, twin: str, after: int, request: Request) -> AsyncIterator[str]:
    quiet = 0.0
    yield ": connected\n\n"
    while not (await request.is_disconnected() or request.app.state.stopping.is_set()):
        events = await listened(service.events, twin, after, _LOOK_SECONDS)
        for position, document in events:
            after = position
            yield f"id: {position}\ndata: {json.dumps(document)}\n\n"
        quiet = 0.0 if events else quiet + _LOOK_SECONDS
        if quiet >= _HEARTBEAT_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"


async def _run_messages(service: Service, run: str, request: Request) -> AsyncIterator[str]:
    changes = service.changes(run)
    done = object()
    while not request.app.state.stopping.is_set():
        change = await listened(next, changes, done)
        if change is done or await request.is_disconnected():
            break
        yield f"data: {json.dumps(change)}\n\n"
    document = await run_in_threadpool(service.run, run)
    yield f"data: {json.dumps({'run': document})}\n\n"
    await asyncio.sleep(0)


def _sse(messages: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(messages, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
