"""Streams, states and triggers under /api/v1: every route hands on to the engine's services."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from gemel.base.errors import InvalidInput
from gemel.core.engine import Service
from gemel.server._body import bounded_body
from gemel.server._listening import listened, resumed

Document = dict[str, Any]
Stream = Annotated[str, Query(min_length=1, max_length=300, description="Name of the stream.")]
Count = Annotated[int, Query(ge=1, le=10_000)]
_MOST_BYTES = 16_000_000
_HEARTBEAT_SECONDS = 15.0
_LOOK_SECONDS = 1.0


class NewTrigger(BaseModel):
    """Body of a request for a trigger: a table `[[triggers]]` of `twin.toml`."""

    model_config = ConfigDict(extra="allow")

    run: str


class Call(BaseModel):
    """Body of a call: values for the graph's parameters, and a key that makes a repeated call the same."""

    model_config = ConfigDict(extra="forbid")

    parameters: dict[str, Any] = {}
    key: str | None = None


class Letters(BaseModel):
    """Body of a replay: positions of dead letters, all of them when left out."""

    model_config = ConfigDict(extra="forbid")

    positions: list[int] | None = None


def stream_api(service: Service) -> APIRouter:
    """Return the routes of streams, states and triggers."""
    router = APIRouter(prefix="/api/v1")
    _stream_routes(router, service)
    _letter_routes(router, service)
    _buffer_routes(router, service)
    _state_routes(router, service)
    _trigger_routes(router, service)
    return router


def _stream_routes(router: APIRouter, service: Service) -> None:
    streams = service.streams

    @router.get("/streams")
    def listed() -> Document:
        return {"streams": streams.streams()}

    @router.get("/stream")
    def described(stream: Stream) -> Document:
        return streams.stream(stream)

    @router.get("/events", response_model=None)
    async def events(
        request: Request,
        stream: Stream,
        after: int = 0,
        limit: Count = 100,
        since: str | None = None,
        wait: Annotated[float, Query(ge=0, le=60)] = 0.0,
    ) -> Document | Response:
        if "text/event-stream" in request.headers.get("accept", ""):
            headers = {"X-Accel-Buffering": "no"}
            messages = _messages(service, stream, resumed(request, after), request)
            return StreamingResponse(messages, media_type="text/event-stream", headers=headers)
        return {"events": await listened(streams.events, stream, after, limit, since, wait)}

    @router.post("/events", status_code=202)
    async def send(request: Request, stream: Stream) -> Document:
        found = _documents(await bounded_body(request, _MOST_BYTES))
        return await run_in_threadpool(streams.send, stream, found)

    @router.post("/twins/{twin}/sources/{source}/events", status_code=202)
    async def receive(twin: str, source: str, request: Request) -> Document:
        body = await bounded_body(request, _MOST_BYTES)
        headers = {name.lower(): value for name, value in request.headers.items()}
        return await run_in_threadpool(streams.receive, twin, source, headers, body)


def _letter_routes(router: APIRouter, service: Service) -> None:
    streams = service.streams

    @router.get("/dead-letters")
    def dead(stream: Stream, after: int = 0, limit: Count = 100) -> Document:
        return {"letters": streams.dead(stream, after, limit)}

    @router.post("/dead-letters")
    def replay(stream: Stream, body: Letters | None = None) -> Document:
        return streams.replay(stream, body.positions if body else None)


def _buffer_routes(router: APIRouter, service: Service) -> None:
    streams = service.streams

    @router.get("/twins/{twin}/buffers")
    def buffers(twin: str) -> Document:
        return {"buffers": streams.buffers(twin)}

    @router.post("/twins/{twin}/buffers/{buffer}/fire", status_code=202)
    def fire(twin: str, buffer: str) -> Document:
        return streams.fire_buffer(twin, buffer)

    @router.post("/twins/{twin}/buffers/{buffer}/retry", status_code=202)
    def retry(twin: str, buffer: str) -> Document:
        return streams.retry_buffer(twin, buffer)


def _state_routes(router: APIRouter, service: Service) -> None:
    streams = service.streams

    @router.get("/twins/{twin}/states")
    def states(
        twin: str, count: Count = 20, begin: str | None = None, end: str | None = None, known: str | None = None
    ) -> Document:
        return {"states": streams.states(twin, count, begin, end, known)}

    @router.get("/twins/{twin}/state")
    def state(twin: str, valid: str | None = None, known: str | None = None) -> Document:
        return streams.state(twin, valid, known)


def _trigger_routes(router: APIRouter, service: Service) -> None:
    triggers = service.triggers

    @router.get("/triggers")
    def every() -> Document:
        return {"triggers": triggers.list()}

    @router.get("/causes")
    def causes(twin: str | None = None, count: Annotated[int, Query(ge=1, le=1000)] = 50) -> Document:
        return {"causes": triggers.causes(twin, count)}

    @router.get("/twins/{twin}/triggers")
    def listed(twin: str) -> Document:
        return {"triggers": triggers.list(twin)}

    @router.post("/twins/{twin}/triggers", status_code=201)
    def add(twin: str, body: NewTrigger) -> Document:
        return triggers.add(twin, body.model_dump())

    @router.get("/twins/{twin}/triggers/{trigger}")
    def one(twin: str, trigger: str) -> Document:
        return triggers.get(twin, trigger)

    @router.delete("/twins/{twin}/triggers/{trigger}", status_code=204)
    def remove(twin: str, trigger: str) -> Response:
        triggers.remove(twin, trigger)
        return Response(status_code=204)

    @router.post("/twins/{twin}/triggers/{trigger}/call", status_code=202)
    def call(twin: str, trigger: str, body: Call | None = None) -> Document:
        chosen = body or Call()
        return triggers.call(twin, trigger, chosen.parameters, chosen.key)


def _documents(body: bytes) -> Sequence[Document]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"The request is not JSON: {error}.", hint="Send a CloudEvent, or a list of them."
        ) from error
    documents = found if isinstance(found, list) else [found]
    if not all(isinstance(item, dict) for item in documents):
        raise InvalidInput("An event is not an object.", hint="Send a CloudEvent, or a list of them.")
    return documents


async def _messages(service: Service, stream: str, after: int, request: Request) -> AsyncIterator[str]:
    quiet = 0.0
    yield ": connected\n\n"
    while not (await request.is_disconnected() or request.app.state.stopping.is_set()):
        events = await listened(service.streams.events, stream, after, 1000, None, _LOOK_SECONDS)
        for event in events:
            after = event["position"]
            yield f"id: {after}\ndata: {json.dumps(event)}\n\n"
        quiet = 0.0 if events else quiet + _LOOK_SECONDS
        if quiet >= _HEARTBEAT_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
