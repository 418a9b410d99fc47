"""Errors over HTTP: one table from gemel's codes to statuses, rendered as RFC 9457 problem documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from gemel.base.errors import GemelError
from gemel.core.stream import finite

STATUS = {
    "input.invalid": 400,
    "config.invalid": 400,
    "graph.invalid": 400,
    "twin.invalid": 422,
    "unit.mismatch": 400,
    "process.refused": 422,
    "input.out-of-bounds": 400,
    "not-found": 404,
    "conflict": 409,
    "access.denied": 403,
    "access.unauthenticated": 401,
    "run.step-failed": 422,
    "run.timeout": 422,
    "store.unavailable": 503,
    "store.full": 507,
    "store.corrupt": 500,
    "plugin.broken": 500,
    "extra.missing": 501,
    "tool.missing": 501,
    "sandbox.missing": 501,
    "memory.does-not-fit": 422,
    "check.failed": 412,
    "training.diverged": 422,
    "engine.stopped": 503,
}
MEDIA_TYPE = "application/problem+json"


def problem(error: GemelError) -> dict[str, Any]:
    """Return the problem document of an error (RFC 9457, section 3)."""
    status = STATUS.get(error.code, 500)
    return {
        "type": f"urn:gemel:error:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "hint": error.hint,
        "context": error.context,
    }


def plain_problem(status: int, detail: str, code: str, hint: str | None = None) -> dict[str, Any]:
    """Return a problem document for what the framework itself refuses."""
    title = HTTPStatus(status).phrase
    kind = f"urn:gemel:error:{code}"
    return {
        "type": kind,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "hint": hint,
        "context": {},
    }


def problem_response(document: Mapping[str, Any]) -> Response:
    """Return the HTTP response of a problem document."""
    body = json.dumps(finite(document), default=str, ensure_ascii=False)
    headers = {"WWW-Authenticate": "Bearer"} if document["status"] == 401 else {}
    return Response(body, document["status"], headers, MEDIA_TYPE)
