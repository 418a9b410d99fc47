"""Errors as OSCAR tells them: a status and a line of text."""

from __future__ import annotations

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gemel.base.errors import GemelError
from gemel.server import STATUS

_log = logging.getLogger(__name__)


def of_error(error: GemelError) -> Response:
    """Return the answer to an error of the engine."""
    status = STATUS.get(error.code, 500)
    if status >= 500:
        _log.error("%s: %s", error.code, error.message)
    text = f"{error.message} {error.hint}" if error.hint else error.message
    headers = {"WWW-Authenticate": 'Bearer, Basic realm="gemel"'} if status == 401 else {}
    return PlainTextResponse(text, status, headers)


def framework(request: Request, error: Exception) -> Response:
    """Return the answer to what the framework itself refuses."""
    assert isinstance(error, HTTPException)
    texts = {404: f"There is nothing at {request.scope['path']}.", 405: f"{request.method} is not possible here."}
    return PlainTextResponse(texts.get(error.status_code, str(error.detail)), error.status_code)
