"""Errors as problem details (RFC 9457), which WoT Discovery asks for."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus

from starlette.responses import Response

from gemel.base.errors import GemelError
from gemel.server import STATUS

_log = logging.getLogger(__name__)


def of_error(error: GemelError) -> Response:
    """Return the answer to an error of the engine."""
    status = STATUS.get(error.code, 500)
    if status >= 500:
        _log.error("%s: %s", error.code, error.message)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return _problem(status, error.code, error.message, headers, error.hint)


def not_allowed(method: str, allowed: str) -> Response:
    """Return the answer to a method that a path does not know."""
    text = f"{method} is not possible here."
    return _problem(405, "method-not-allowed", text, {"Allow": allowed}, f"Possible: {allowed}.")


def _problem(status: int, code: str, detail: str, headers: dict[str, str], hint: str | None) -> Response:
    document = {"type": f"urn:gemel:error:{code}", "title": HTTPStatus(status).phrase, "status": status}
    document |= {"detail": detail, "code": code, "hint": hint}
    return Response(json.dumps(document, ensure_ascii=False), status, headers, "application/problem+json")
