"""Errors in the shape of an aviso-server (its `api-errors` page): a code, a category, a message, and the request's id."""

from __future__ import annotations

import logging
import uuid

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gemel.base.errors import GemelError
from gemel.server import STATUS

_log = logging.getLogger(__name__)
_CATEGORIES = {
    "notification": ("INVALID_NOTIFICATION_REQUEST", "Invalid Notification Request"),
    "watch": ("INVALID_WATCH_REQUEST", "Invalid Watch Request"),
    "replay": ("INVALID_REPLAY_REQUEST", "Invalid Replay Request"),
    "schema": ("INVALID_REQUEST", "Invalid Request"),
}
_BY_STATUS = {
    401: ("UNAUTHORIZED", "unauthorized"),
    403: ("FORBIDDEN", "forbidden"),
    404: ("NOT_FOUND", "not_found"),
    503: ("SERVICE_UNAVAILABLE", "service_unavailable"),
    507: ("NOTIFICATION_STORAGE_FAILED", "Notification Storage Failed"),
}


def new_request_id() -> str:
    """Return an id that a request and all that is told about it carry."""
    return str(uuid.uuid4())


def of_error(error: GemelError, kind: str = "schema", request_id: str | None = None) -> Response:
    """Return the answer to an error.

    Args:
        error: What is wrong; `context["aviso"]` names a code of aviso's, `context["event_types"]` those there are.
        kind: Of request: `notification`, `watch`, `replay` or `schema`.
        request_id: Of the request.
    """
    status = STATUS.get(error.code, 500)
    chosen = request_id or new_request_id()
    code, category = _BY_STATUS.get(status, ("INTERNAL_ERROR", "Internal Error"))
    if status == 400:
        code, category = _CATEGORIES[kind]
    code = error.context.get("aviso", code)
    message = f"{error.message} {error.hint}" if error.hint else error.message
    document = {"code": code, "error": category, "message": message, "request_id": chosen}
    if status not in (401, 403):
        document["details"] = error.message
    if "event_types" in error.context:
        document |= {"error": code.lower(), "configured_event_types": error.context["event_types"]}
    headers = {"X-Request-ID": chosen}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer, Basic realm="gemel"'
    if status >= 500:
        _log.error("%s (request %s): %s", error.code, chosen, error.message)
    return JSONResponse(document, status, headers)


def framework(request: Request, error: Exception) -> Response:
    """Return the answer to what the framework itself refuses; a plain text, as of an aviso-server."""
    assert isinstance(error, HTTPException)
    return Response(str(error.detail), error.status_code, {"X-Request-ID": new_request_id()}, "text/plain")
