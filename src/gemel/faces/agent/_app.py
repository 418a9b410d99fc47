"""The app below the prefix: questions that are kept open, answers, and bodies in both directions with back-pressure."""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gemel.base.errors import GemelError, InvalidInput, NotFound, StoreUnavailable, Unauthenticated
from gemel.infra.lake.agents import AgentKeys, AgentStorage, Broken, Channel, Exchange, Task, ending, frame
from gemel.server import STATUS, Hosting

_T = TypeVar("_T")
_SHORT = 8
_BODIES = 64  # that pass at a time, each with a thread while it waits
_PIECE = 1 << 20  # bytes that are handed over at a time
_ANSWER = 1 << 20  # bytes of an answer in JSON
_LOOK_SECONDS = 1.0  # between looks at whether the agent is there, and the server stays
_MOST = 64
_BEAT = 3  # signs of life in the time of one lease
_STOPPING = "gemel.stopping"
_ID = re.compile(r"agent-[0-9a-z]{26}")


@dataclass(frozen=True)
class Door:
    """What all requests share.

    Attributes:
        exchange: Where tasks wait.
        keys: Tell whose token is shown.
        declared: Returns whether a storage of that name has an agent.
        threads: For bytes on their way.
        short: For what takes a moment; however many bytes are on their way, signs of life are heard.
    """

    exchange: Exchange
    keys: AgentKeys
    declared: Callable[[str], bool]
    threads: ThreadPoolExecutor
    short: ThreadPoolExecutor

    async def soon(self, work: Callable[..., _T], *args: Any) -> _T:
        """Return what blocking work returns."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, functools.partial(work, *args))


@dataclass(frozen=True)
class Caller:
    """An agent that calls: of which storage, and its id."""

    storage: str
    agent: str


Handler = Callable[[Door, Caller, Request], Awaitable[Response]]


def build(hosting: Hosting) -> ASGIApp:
    """Return the app for an engine."""
    engine = hosting.service.engine
    exchange = engine.lake.exchange

    def declared(name: str) -> bool:
        return isinstance(engine.storages.get(name), AgentStorage)

    threads = ThreadPoolExecutor(_BODIES, thread_name_prefix="gemel-agents")
    short = ThreadPoolExecutor(_SHORT, thread_name_prefix="gemel-agents-short")
    door = Door(exchange, AgentKeys(engine.settings.home), declared, threads, short)
    exchange.open()
    routes = [
        Route("/tasks", _guarded(door, _tasks), methods=["GET"]),
        Route("/beat", _guarded(door, _beat), methods=["POST"]),
        Route("/leave", _guarded(door, _leave), methods=["POST"]),
        Route("/tasks/{id}", _guarded(door, _answer), methods=["POST"]),
        Route("/tasks/{id}/back", _guarded(door, _back), methods=["POST"]),
        Route("/tasks/{id}/body", _guarded(door, _give), methods=["GET"]),
        Route("/tasks/{id}/body", _guarded(door, _take), methods=["PUT"]),
        # What is not there is told to agents alone.
        Route("/{path:path}", _guarded(door, _nothing), methods=["GET"]),
    ]
    return _Outer(Starlette(routes=routes, exception_handlers={HTTPException: _framework}))


class _Outer:
    """Keeps what the hosting server says of its end, which the app below would hide."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stopping = getattr(getattr(scope.get("app"), "state", None), "stopping", None)
        await self._app({**scope, _STOPPING: stopping}, receive, send)


def of_error(error: GemelError) -> Response:
    """Return the answer to an error of the engine."""
    status = STATUS.get(error.code, 500)
    headers = {"WWW-Authenticate": 'Bearer realm="gemel-agent"'} if status == 401 else {}
    return JSONResponse({"error": error.document()}, status, headers)


def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    document = {"code": "http", "message": str(error.detail), "hint": None}
    return JSONResponse({"error": document}, error.status_code)


def _guarded(door: Door, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            caller = await asyncio.get_running_loop().run_in_executor(door.short, _caller, door, request)
            return await handler(door, caller, request)
        except GemelError as error:
            return of_error(error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it

    return endpoint


async def _nothing(door: Door, caller: Caller, request: Request) -> Response:
    raise NotFound(f"There is nothing at {request.url.path!r}.")


def _caller(door: Door, request: Request) -> Caller:
    """Return who calls; blocks.

    Raises:
        Unauthenticated: No agent's token of this engine is shown.
        Denied: It is for another storage.
        NotFound: There is no such storage, or it has no agent.
    """
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not shown.strip():
        raise Unauthenticated("An agent shows its token.", hint="gemel data agent-token STORAGE")
    storage, agent = request.headers.get("gemel-storage", ""), request.headers.get("gemel-agent", "")
    door.keys.require(shown.strip(), storage)
    if not door.declared(storage):
        hint = f"At the engine: gemel data storages add {storage} agent"
        raise NotFound(f"There is no storage '{storage}' that has an agent.", hint=hint)
    if not _ID.fullmatch(agent):
        raise InvalidInput("An agent says its id.", hint="Gemel-Agent: agent-…")
    return Caller(storage, agent)


async def _tasks(door: Door, caller: Caller, request: Request) -> Response:
    """Return tasks; without any, the answer waits for some."""
    text = request.query_params.get("most", "1")
    most = min(int(text), _MOST) if text.isdecimal() and len(text) < 4 else 1
    exchange, loop, news = door.exchange, asyncio.get_running_loop(), asyncio.Event()
    waits = request.query_params.get("wait", "1") != "0"
    until = loop.time() + (exchange.limits.poll if waits else 0.0)

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(news.set)

    with exchange.polling(caller.storage, caller.agent, wake):
        while True:
            news.clear()
            found = exchange.take(caller.storage, caller.agent, max(most, 1))
            over = loop.time() >= until or not exchange.serving or _stopping(request)
            if found or over or await request.is_disconnected():
                break
            await _either(news, min(_LOOK_SECONDS, until - loop.time()))
    if not found and await request.is_disconnected():
        exchange.hung_up(caller.storage, caller.agent)
    tasks = [task.document() for task in found]
    return JSONResponse({"tasks": tasks, "beat": exchange.limits.lease / _BEAT})


async def _either(news: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(news.wait(), max(seconds, 0.0))
    except TimeoutError:
        return


def _stopping(request: Request) -> bool:
    event = request.scope.get(_STOPPING)
    return event is not None and event.is_set()


async def _beat(door: Door, caller: Caller, request: Request) -> Response:
    document = await _document(request)
    done = document.get("done")
    if not isinstance(done, Mapping) or not all(isinstance(item, int) for item in done.values()):
        raise InvalidInput("'done' says how many bytes of each task are done.")
    withdrawn = door.exchange.beat(caller.storage, caller.agent, {str(id): int(count) for id, count in done.items()})
    return JSONResponse({"withdrawn": withdrawn})


async def _leave(door: Door, caller: Caller, request: Request) -> Response:
    door.exchange.leave(caller.storage, caller.agent)
    return JSONResponse({})


async def _answer(door: Door, caller: Caller, request: Request) -> Response:
    document = await _document(request)
    task = door.exchange.held(request.path_params["id"], caller.storage, caller.agent)
    door.exchange.answer(task.id, caller.agent, document)
    return JSONResponse({})


async def _back(door: Door, caller: Caller, request: Request) -> Response:
    task = door.exchange.held(request.path_params["id"], caller.storage, caller.agent)
    door.exchange.give_back(task.id, caller.agent)
    return JSONResponse({})


async def _give(door: Door, caller: Caller, request: Request) -> Response:
    """Send the bytes of a task to the agent, in frames."""
    task, channel = _begun(door, caller, request)
    return StreamingResponse(_frames(door, task, channel), media_type="application/octet-stream")


async def _frames(door: Door, task: Task, channel: Channel) -> AsyncIterator[bytes]:
    ended = False
    try:
        while piece := await door.soon(channel.read, _PIECE):
            yield frame(piece)
            door.exchange.passed(task, len(piece))
        yield ending(channel.summary)
        ended = True
    except Broken:
        # Whoever sends gave up; the agent is told so, and its answer ends the task.
        ended = True
        yield ending({"broken": True})
    finally:
        if not ended:
            channel.fail()
            door.exchange.broken(task)


async def _take(door: Door, caller: Caller, request: Request) -> Response:
    """Take the bytes of a task from the agent; where an answer comes with them, they end it."""
    answer = _with_bytes(request)
    task, channel = _begun(door, caller, request)
    try:
        await _filled(door, task, channel, request)
    except Broken as error:
        raise NotFound("Nobody waits for these bytes any more.", hint="Do nothing of it.") from error
    except ClientDisconnect:
        channel.fail()
        door.exchange.broken(task)
        raise
    channel.end()
    if answer is not None:
        door.exchange.answer(task.id, caller.agent, {"result": answer})
    return JSONResponse({})


async def _filled(door: Door, task: Task, channel: Channel, request: Request) -> None:
    held = bytearray()
    async for part in request.stream():
        held += part
        if len(held) >= _PIECE:
            await door.soon(channel.put, bytes(held))
            door.exchange.passed(task, len(held))
            held.clear()
    if held:
        await door.soon(channel.put, bytes(held))
        door.exchange.passed(task, len(held))


def _begun(door: Door, caller: Caller, request: Request) -> tuple[Task, Channel]:
    task = door.exchange.held(request.path_params["id"], caller.storage, caller.agent, begin=True)
    if task.channel is None:
        raise StoreUnavailable("No bytes belong to this task.")
    return task, task.channel


def _with_bytes(request: Request) -> Mapping[str, Any] | None:
    text = request.headers.get("gemel-answer")
    return None if text is None else _object(text.encode())


async def _document(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _ANSWER:
            raise InvalidInput(f"An answer has {_ANSWER} bytes at most.")
    return _object(bytes(body))


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The body is no JSON.") from error
    if not isinstance(found, dict):
        raise InvalidInput("The body is no JSON object.")
    return found
