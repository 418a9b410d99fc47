"""Work that takes long: waited for without holding a thread, or told of while it goes on."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from gemel.base.errors import EngineStopped, GemelError
from gemel.core.stream import finite
from gemel.server._problem import plain_problem, problem

Document = dict[str, Any]
Told = Callable[[Mapping[str, Any]], None]
EVENT_STREAM = "text/event-stream"
_T = TypeVar("_T")
_LOOK_SECONDS = 0.25
_TELL_SECONDS = 0.5
_LOG = logging.getLogger("gemel.server")


async def waited(request: Request, look: Callable[[], _T], enough: Callable[[_T], bool], seconds: float) -> _T:
    """Return what `look` finds as soon as it is enough, or the time is up, or the server stops."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    while True:
        found = await run_in_threadpool(look)
        left = ends - loop.time()
        if left <= 0 or enough(found) or request.app.state.stopping.is_set() or await request.is_disconnected():
            return found
        await asyncio.sleep(min(_LOOK_SECONDS, left))


async def worked(request: Request, work: Callable[[Told], Document]) -> Response:
    """Return what work returns, as JSON; to clients that accept event streams, after messages of how far it is.

    Messages hold `progress`, then one `result` or `error` (a problem document). When the client leaves, the work ends at
    its next sign of progress.
    """
    if EVENT_STREAM not in request.headers.get("accept", ""):
        return JSONResponse(finite(await run_in_threadpool(work, lambda _: None)))
    return sse(_messages(request, work))


async def _messages(request: Request, work: Callable[[Told], Document]) -> AsyncIterator[str]:
    latest: list[Mapping[str, Any]] = []
    gone = threading.Event()

    def told(progress: Mapping[str, Any]) -> None:
        if gone.is_set() or request.app.state.stopping.is_set():
            raise EngineStopped("Nobody waits for the answer any more.")
        latest[:] = [progress]

    task = asyncio.ensure_future(_ended(work, told))
    try:
        yield ": connected\n\n"
        while not task.done():
            await asyncio.wait({task}, timeout=_TELL_SECONDS)
            yield message({"progress": latest.pop()}) if latest else ": still here\n\n"
        yield message(task.result())
    finally:
        gone.set()


async def _ended(work: Callable[[Told], Document], told: Told) -> Document:
    try:
        return {"result": await run_in_threadpool(work, told)}
    except GemelError as error:
        return {"error": problem(error)}
    except Exception as error:
        _LOG.exception("work that was followed stumbled")
        detail = f"The engine stumbled: {type(error).__name__}."
        return {"error": plain_problem(500, detail, "error", "The server's log has the details.")}


def message(document: Mapping[str, Any], number: int | None = None) -> str:
    """Return one message of an event stream, under a number where there is one to go on from."""
    id = "" if number is None else f"id: {number}\n"
    return f"{id}data: {json.dumps(finite(document), default=str)}\n\n"


def sse(messages: AsyncIterator[str]) -> StreamingResponse:
    """Return an event stream."""
    return StreamingResponse(messages, media_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"})
