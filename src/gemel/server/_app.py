"""Putting the ASGI app together: gate, native API, health, metrics, and the pages it is handed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from gemel.base.errors import GemelError
from gemel.core.engine import Service
from gemel.infra.access import Authoriser, read_token
from gemel.server._gate import Gate
from gemel.server._problem import plain_problem, problem, problem_response
from gemel.server._routes import api

_PLAIN_POLICY = "default-src 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Pages:
    """What a user interface brings along; the server knows no more of it than this.

    Attributes:
        router: Makes the page routes from the service.
        static_path: Address below which static files lie.
        static: App that serves them.
        render_problem: Turns a problem document into a page.
        policy: Content security policy that the pages need.
    """

    router: Callable[[Service], APIRouter]
    static_path: str
    static: ASGIApp
    render_problem: Callable[[Mapping[str, Any]], Response]
    policy: str


def create_app(service: Service, pages: Pages | None = None) -> FastAPI:
    """Return the ASGI app of an engine."""
    settings = service.engine.settings
    token = read_token(settings.home)
    app = FastAPI(
        title="gemel", version=version("gemel"), docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json"
    )
    app.state.stopping = threading.Event()
    app.include_router(api(service))
    _add_health(app, service)
    if pages is not None:
        app.include_router(pages.router(service), include_in_schema=False)
        app.mount(pages.static_path, pages.static)
    answer = _answering(pages)
    _add_errors(app, answer)
    app.add_middleware(
        Gate,
        authoriser=Authoriser(token),
        token=token,
        allowed_hosts=settings.server.allowed_hosts,
        refuse=lambda request, error: answer(request, problem(error)),
        policy=pages.policy if pages else _PLAIN_POLICY,
    )
    return app


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    def health() -> JSONResponse:
        document = service.health()
        return JSONResponse(document, 200 if document["status"] == "ok" else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> str:
        runs = service.runs(limit=1000)
        counts = {state: sum(run["state"] == state for run in runs) for state in ("running", "finished", "failed")}
        lines = ["# HELP gemel_runs Newest thousand runs by state.", "# TYPE gemel_runs gauge"]
        lines += [f'gemel_runs{{state="{state}"}} {count}' for state, count in counts.items()]
        lines += ["# HELP gemel_live_twins Twins kept in step.", "# TYPE gemel_live_twins gauge"]
        return "\n".join([*lines, f"gemel_live_twins {len(service.engine.live_ids())}", ""])


def _answering(pages: Pages | None) -> Callable[[Request, Mapping[str, Any]], Response]:
    def answer(request: Request, document: Mapping[str, Any]) -> Response:
        wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
        return pages.render_problem(document) if pages and wants_page else problem_response(document)

    return answer


def _add_errors(app: FastAPI, answer: Callable[[Request, Mapping[str, Any]], Response]) -> None:
    @app.exception_handler(GemelError)
    def ours(request: Request, error: GemelError) -> Response:
        return answer(request, problem(error))

    @app.exception_handler(HTTPException)
    def framework(request: Request, error: HTTPException) -> Response:
        code = {400: "input.invalid", 404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "request")
        detail = f"There is nothing at {request.url.path}." if error.status_code == 404 else str(error.detail)
        return answer(request, plain_problem(error.status_code, detail, code))

    @app.exception_handler(RequestValidationError)
    def body(request: Request, error: RequestValidationError) -> Response:
        places = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        return answer(request, plain_problem(400, f"The request cannot be used: {places}.", "input.invalid"))

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        detail = f"The engine stumbled: {type(error).__name__}."
        return answer(request, plain_problem(500, detail, "error", "The server's log has the details."))
