"""Errors as clients of storage read them: a status and one line of text."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from starlette.responses import PlainTextResponse, Response

from gemel.base.errors import GemelError
from gemel.server import STATUS

_log = logging.getLogger(__name__)


class Refusal(Exception):
    """A request that is answered with a status of its own.

    Args:
        status: Of HTTP.
        text: Why, for people.
        headers: Sent along.
    """

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, dict(headers or {})

    def response(self) -> Response:
        """Return the answer."""
        if self.status == 304:
            return Response(status_code=304, headers=self.headers)
        return PlainTextResponse(f"{self.text}\n", self.status, self.headers)


def of_error(error: GemelError) -> Response:
    """Return the answer to an error of the engine."""
    status = STATUS.get(error.code, 500)
    if status >= 500:
        _log.error("%s: %s", error.code, spoken(error))
    headers = {"WWW-Authenticate": 'Bearer realm="gemel"'} if status == 401 else {}
    return PlainTextResponse(f"{spoken(error)}\n", status, headers)


def spoken(error: GemelError) -> str:
    """Return an error in one line."""
    text = f"{error.message} {error.hint}" if error.hint else error.message
    return " ".join(text.split())
