"""Putting the ASGI app together: gate, native API, faces, health, metrics, and the pages it is handed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.types import ASGIApp

from gemel.base.errors import GemelError, NotFound
from gemel.core.engine import Service
from gemel.infra.access import Authoriser, SignedLinks, read_token
from gemel.server._alert_routes import alert_api
from gemel.server._data_routes import data_api
from gemel.server._faces import Face, Hosting, face_of, installed_faces
from gemel.server._function_routes import function_api
from gemel.server._gate import Gate
from gemel.server._model_routes import model_api
from gemel.server._problem import plain_problem, problem, problem_response
from gemel.server._routes import api
from gemel.server._stream_routes import stream_api

_Answer = Callable[[Request, Mapping[str, Any]], Response]
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
    app.include_router(data_api(service.data))
    app.include_router(stream_api(service))
    app.include_router(function_api(service))
    app.include_router(alert_api(service.alerts))
    app.include_router(model_api(service.models))
    _add_health(app, service)
    faces = installed_faces()
    authoriser = Authoriser(token)
    for face in faces:
        hosting = Hosting(service, authoriser, SignedLinks(token))
        app.router.routes += [*face.root_routes(hosting), Mount(face.prefix, app=face.app(hosting))]
    if pages is not None:
        app.include_router(pages.router(service), include_in_schema=False)
        app.mount(pages.static_path, pages.static)
    answer = _answering(pages, faces)
    _add_errors(app, answer, faces)
    app.add_middleware(
        Gate,
        authoriser=authoriser,
        token=token,
        allowed_hosts=settings.server.allowed_hosts,
        refuse=lambda request, error: _refused(request, error, faces, answer),
        policy=pages.policy if pages else _PLAIN_POLICY,
        faces=faces,
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


def _refused(request: Request, error: GemelError, faces: Sequence[Face], answer: _Answer) -> Response:
    face = face_of(faces, request.url.path)
    return answer(request, problem(error)) if face is None else face.refuse(request, error)


def _answering(pages: Pages | None, faces: Sequence[Face]) -> _Answer:
    def answer(request: Request, document: Mapping[str, Any]) -> Response:
        path = request.url.path
        spoken = path.startswith("/api/") or face_of(faces, path) is not None
        wants_page = "text/html" in request.headers.get("accept", "") and not spoken
        return pages.render_problem(document) if pages and wants_page else problem_response(document)

    return answer


def _add_errors(app: FastAPI, answer: _Answer, faces: Sequence[Face]) -> None:
    @app.exception_handler(GemelError)
    def ours(request: Request, error: GemelError) -> Response:
        return answer(request, problem(error))

    @app.exception_handler(HTTPException)
    def framework(request: Request, error: HTTPException) -> Response:
        face = face_of(faces, request.scope["path"])
        if face is not None:
            return face.refuse(request, NotFound(f"There is nothing at {request.scope['path']!r}."))
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
