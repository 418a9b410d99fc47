"""Errors in the shape of the STAC API: a code and a description."""

from __future__ import annotations

import json
import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gemel.base.errors import GemelError
from gemel.server import STATUS

_log = logging.getLogger(__name__)
_CODES = {404: "not-found", 405: "method-not-allowed", 413: "input.too-large"}


def answer(status: int, code: str, description: str) -> Response:
    """Return the answer to a request that failed."""
    body = json.dumps({"code": code, "description": description}, ensure_ascii=False)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return Response(body, status, headers, "application/json")


def of_error(error: GemelError) -> Response:
    """Return the answer to an error of the engine."""
    description = f"{error.message} {error.hint}" if error.hint else error.message
    if error.code == "conflict" and error.context.get("reason") == "changed":
        return answer(412, error.code, description)
    status = STATUS.get(error.code, 500)
    if status >= 500:
        _log.error("%s: %s", error.code, description)
    return answer(status, error.code, description)


def ours(_request: Request, error: Exception) -> Response:
    """Return the answer to an error of the engine, as a handler."""
    assert isinstance(error, GemelError)
    return of_error(error)


def framework(request: Request, error: Exception) -> Response:
    """Return the answer to what the framework itself refuses."""
    assert isinstance(error, HTTPException)
    texts = {
        404: f"There is nothing at {request.scope['path']}.",
        405: f"{request.method} is not possible here.",
    }
    status = error.status_code
    return answer(status, _CODES.get(status, "input.invalid"), texts.get(status, str(error.detail)))


def unexpected(_request: Request, error: Exception) -> Response:
    """Return the answer to an error that nobody thought of; the server logs it whole."""
    return answer(500, "error", f"The engine stumbled: {type(error).__name__}.")
