"""Functions under /api/v1: every route hands on to the engine's service."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool

from gemel.core.engine import Service
from gemel.core.stream.functions import LARGEST
from gemel.server._body import bounded_body

Document = dict[str, Any]
Wait = Annotated[float, Query(ge=0, le=300, description="Seconds to wait for the call's end.")]


def function_api(service: Service) -> APIRouter:
    """Return the routes of functions and their calls."""
    router = APIRouter(prefix="/api/v1")
    _function_routes(router, service)
    _call_routes(router, service)
    return router


def _function_routes(router: APIRouter, service: Service) -> None:
    functions = service.functions

    @router.get("/functions")
    def listed() -> Document:
        return {"functions": list(functions.list())}

    @router.post("/functions", status_code=201)
    def deploy(body: Document, replace: bool = False) -> Document:
        return functions.deploy(body, replace=replace)

    @router.get("/functions/{function}")
    def one(function: str) -> Document:
        return functions.get(function)

    @router.delete("/functions/{function}", status_code=204)
    def remove(function: str) -> Response:
        functions.remove(function)
        return Response(status_code=204)

    @router.post("/functions/{function}/replay")
    def replay(function: str, call: str | None = None) -> Document:
        return {"calls": list(functions.replay(function, call))}


def _call_routes(router: APIRouter, service: Service) -> None:
    functions = service.functions

    @router.post("/functions/{function}/calls", status_code=201)
    async def invoke(function: str, request: Request, cause: str | None = None, wait: Wait = 0.0) -> Document:
        body = await bounded_body(request, LARGEST)
        return await run_in_threadpool(functions.invoke, function, body, cause=cause, wait=wait)

    @router.get("/functions/{function}/calls")
    def calls(function: str, state: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Document:
        return {"calls": list(functions.calls(function, state, limit))}

    @router.get("/calls/{call}")
    def call(call: str, wait: Wait = 0.0) -> Document:
        return functions.call(call, wait)

    @router.get("/calls/{call}/log", response_class=PlainTextResponse)
    def log(call: str) -> str:
        return functions.logs(call)
