"""Host the pages on the synthetic twin: `python tests/ui/synthetic.py --tick 1`, then open the printed address."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from synthetic_twin import TWIN, Synthetic

from gemel.base.errors import GemelError, NotFound
from gemel.ui import CONTENT_SECURITY_POLICY, STATIC_PATH, pages, problem_page, static_files


class Policy:
    """Adds the content security policy to every answer, as the real server does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"content-security-policy", CONTENT_SECURITY_POLICY.encode()))
            await send(message)

        await self.app(scope, receive, with_policy if scope["type"] == "http" else send)


class Feed:
    """Server-sent events to everyone who listens; ends with the server."""

    def __init__(self) -> None:
        self.listeners: set[asyncio.Queue[str | None]] = set()

    def send(self, document: dict[str, Any] | None) -> None:
        text = None if document is None else f"id: {document['data']['sequence']}\ndata: {json.dumps(document)}\n\n"
        for queue in self.listeners:
            queue.put_nowait(text)

    async def follow(self) -> AsyncIterator[str]:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.listeners.add(queue)
        try:
            yield ": open\n\n"
            while (text := await queue.get()) is not None:
                yield text
        finally:
            self.listeners.discard(queue)


def build(twin: Synthetic, tick: float = 0.0) -> FastAPI:
    feed = Feed()

    def advance() -> None:
        twin.advance()
        feed.send(
            {
                "specversion": "1.0",
                "type": "gemel.twin.updated",
                "source": TWIN,
                "data": {"sequence": twin.sequence, "clock": twin.clock(), "run": "x"},
            }
        )

    async def keep_time() -> None:
        while True:
            await asyncio.sleep(tick)
            advance()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(keep_time()) if tick else None
        yield
        if task:
            task.cancel()

    app = FastAPI(lifespan=life)
    app.state.feed = feed
    app.add_middleware(Policy)
    app.mount(STATIC_PATH, static_files())
    app.include_router(pages(twin))
    _api(app, twin, feed)

    @app.post("/synthetic/advance")
    async def move() -> dict[str, int]:
        advance()
        return {"sequence": twin.sequence}

    return app


def _api(app: FastAPI, twin: Synthetic, feed: Feed) -> None:
    @app.get("/api/v1/twins/{name}/views")
    def views(name: str) -> dict[str, Any]:
        return twin.views(name)

    @app.get("/api/v1/twins/{name}/events")
    def events(name: str) -> StreamingResponse:
        return StreamingResponse(feed.follow(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @app.post("/api/v1/twins/{name}/whatif")
    def whatif(name: str, body: dict[str, Any]) -> dict[str, Any]:
        run = f"run-whatif-{1000 + len(twin.whatifs)}"
        twin.whatifs[run] = body["parameters"]
        return {**twin.run(run), "views": twin.views(name, body["parameters"])["views"]}

    @app.exception_handler(GemelError)
    async def problem(request: Request, error: GemelError) -> Any:
        status = 404 if isinstance(error, NotFound) else 500
        document = {
            "type": "about:blank",
            "title": "Not found",
            "status": status,
            "detail": error.message,
            "code": error.code,
            "hint": error.hint,
        }
        if "text/html" in request.headers.get("accept", ""):
            return problem_page(document)
        return JSONResponse(document, status, media_type="application/problem+json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8499)
    parser.add_argument("--tick", type=float, default=1.0, help="seconds per synthetic day")
    choice = parser.parse_args()
    app = build(Synthetic(), choice.tick)
    uvicorn.run(app, host="127.0.0.1", port=choice.port, ws="none", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
