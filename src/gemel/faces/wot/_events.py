"""What a twin tells of its own accord, as server-sent events that can be taken up again after a break."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gemel.base.errors import not_found
from gemel.core.engine import Service
from gemel.core.stream import Event, finite
from gemel.faces.wot._asked import Asked
from gemel.faces.wot._properties import property_of, require_observable

Document = dict[str, Any]
# Affordance: (what the engine calls it, what it means).
EVENTS = {
    "updated": ("gemel.twin.updated", "The state has a new version."),
    "alert": ("gemel.twin.alert", "The twin warns."),
    "freshness": ("gemel.twin.freshness", "Observations come in step, late, or not at all."),
    "diverged": ("gemel.twin.diverged", "Model and observations are further apart than the declared fidelity."),
    "converged": ("gemel.twin.converged", "Model and observations are within the declared fidelity again."),
    "late-observation": ("gemel.twin.late-observation", "An observation came that is older than the state."),
    "problem": ("gemel.twin.problem", "Something about the twin went wrong."),
}
_HEARTBEAT_SECONDS = 15.0
_LOOK_SECONDS = 1.0
_PAGE = 200
# Many listeners wait for one another, and never keep the requests of others waiting.
_LISTENING = ThreadPoolExecutor(32, thread_name_prefix="gemel-wot-listening")
_POSITION = re.compile(r"[0-9]{1,18}")
Told = Callable[[Event], Any]  # what an event says to a listener, None when nothing


def schema(title: str) -> Document:
    """Return the data schema of an event: a CloudEvent."""
    text = {"type": "string"}
    return {
        "title": title,
        "description": "A CloudEvent 1.0.",
        "type": "object",
        "properties": {
            "id": text,
            "type": text,
            "source": text,
            "time": {"type": "string", "format": "date-time"},
            "data": {"type": "object"},
        },
        "required": ["id", "type", "source", "time", "data"],
    }


async def subscribe(asked: Asked) -> Response:
    """Return the events of one kind as they come; after `Last-Event-ID`, or from now on."""
    name = asked.path("name")
    twin = await run_in_threadpool(lambda: asked.twin)
    if name not in EVENTS:
        raise not_found(f"event of twin '{twin.id}'", name, EVENTS)
    kind = EVENTS[name][0]
    return await _stream(asked, f"twins/{twin.id}", lambda event: event.document() if event.type == kind else None)


async def observe(asked: Asked) -> Response:
    """Return the values of a property as they change."""
    name = asked.path("name")
    found = await run_in_threadpool(lambda: property_of(asked.service, asked.twin, name))
    told = found.told or (lambda _: found.read())

    def changed(event: Event) -> Any:
        return told(event) if not found.types or event.type in found.types else None

    return await _stream(asked, require_observable(name, found), changed)


async def _stream(asked: Asked, stream: str, told: Told) -> Response:
    request = asked.request
    seen = request.headers.get("last-event-id", "")
    after = int(seen) if _POSITION.fullmatch(seen) else await run_in_threadpool(_newest, asked.service, stream)
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    if request.method == "HEAD":
        return Response(headers=headers, media_type="text/event-stream")
    messages = _messages(asked.service, stream, after, told, request)
    return StreamingResponse(messages, media_type="text/event-stream", headers=headers)


async def _messages(service: Service, stream: str, after: int, told: Told, request: Request) -> AsyncIterator[str]:
    loop, quiet = asyncio.get_running_loop(), 0.0
    # The position first: a listener that loses the line before anything comes goes on from here, too.
    yield f"id: {after}\n: connected\n\n"
    while not (await request.is_disconnected() or request.app.state.stopping.is_set()):
        events = await loop.run_in_executor(_LISTENING, _next, service, stream, after)
        lines = await loop.run_in_executor(_LISTENING, _lines, events, told) if events else ""
        after = events[-1].position if events else after
        if lines:
            yield lines
        quiet = 0.0 if lines else quiet + _LOOK_SECONDS
        if quiet >= _HEARTBEAT_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"


def _next(service: Service, stream: str, after: int) -> Sequence[Event]:
    service.engine.log.wait(stream, after, _LOOK_SECONDS)
    return service.engine.log.read(stream, after, _PAGE)


def _lines(events: Sequence[Event], told: Told) -> str:
    values = [(event.position, told(event)) for event in events]
    return "".join(
        f"id: {number}\ndata: {json.dumps(finite(value))}\n\n" for number, value in values if value is not None
    )


def _newest(service: Service, stream: str) -> int:
    last = service.engine.log.last(stream)
    return last[-1].position if last else 0
