"""Errors in OData's shape (JSON Format 4.0, section 19), which SensorThings builds on."""

from __future__ import annotations

import json
import logging

from starlette.responses import Response

from gemel.base.errors import GemelError, InvalidInput
from gemel.server import STATUS

_log = logging.getLogger(__name__)
_UNSUPPORTED = "unsupported"
_WRITE = "Observations come in at POST /api/v1/twins/{twin}/sources/{source}/events; this face is read only."


def unsupported(what: str) -> InvalidInput:
    """Return the error for something that the standard has and this server has not."""
    return InvalidInput(f"{what} is not supported here.", reason=_UNSUPPORTED)


def of_error(error: GemelError) -> Response:
    """Return the answer to an error: 501 for what the standard has and this server has not."""
    missing = error.context.get("reason") == _UNSUPPORTED
    status = 501 if missing else STATUS.get(error.code, 500)
    if status >= 500 and not missing:
        _log.error("%s: %s", error.code, error.message)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    text = f"{error.message} {error.hint}" if error.hint else error.message
    return _answer(status, error.code, text, headers)


def read_only(method: str) -> Response:
    """Return the answer to a request that would change something, which says where to send it."""
    return _answer(405, "method-not-allowed", f"{method} is not possible here. {_WRITE}", {"Allow": "GET, HEAD"})


def _answer(status: int, code: str, message: str, headers: dict[str, str]) -> Response:
    body = json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False)
    return Response(body, status, headers, "application/json")
