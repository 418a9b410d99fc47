"""Alerts as notifications of an outside aviso-server (ECMWF): `POST /api/v1/notification` of versions 0.4 to 0.13."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field, field_validator

from gemel.base.errors import InvalidInput
from gemel.core.stream.alerts._outlet import Notice
from gemel.core.stream.alerts._posting import Poster, PostTable

Scalar = str | int | float | bool


def _own_identifier() -> dict[str, Scalar]:
    return {"twin": "{twin}", "event": "{event}", "place": "{place}"}


class AvisoTable(PostTable):
    """Options of an outlet to an aviso-server.

    Attributes:
        event_type: That the server knows.
        identifier: What the server's schema asks for; ``{place}`` and the like stand for what the alert says, and
            ``{twin}`` and ``{id}`` for the twin and the alert.
    """

    event_type: str
    identifier: dict[str, Scalar] = Field(default_factory=_own_identifier)

    @field_validator("url")
    @classmethod
    def _root(cls, value: str) -> str:
        return value.rstrip("/").removesuffix("/api/v1")


class AvisoOutlet:
    """Notifies an aviso-server; the payload is the whole alert, whose `id` tells repeats: the server does not."""

    needs_earlier = False
    Table = AvisoTable

    def __init__(self, table: AvisoTable) -> None:
        self._table, self._poster = table, Poster(table)

    def send(self, notice: Notice) -> None:
        """Notify of one alert."""
        identifier = {name: _filled(value, notice) for name, value in self._table.identifier.items()}
        document = {"event_type": self._table.event_type, "identifier": identifier, "payload": notice.document()}
        headers = {"Content-Type": "application/json"}
        self._poster.post(f"{self._table.url}/api/v1/notification", json.dumps(document).encode(), headers)

    def close(self) -> None:
        """Let connections go."""
        self._poster.close()


def _filled(value: Any, notice: Notice) -> str:
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    said = {name: item for name, item in notice.event.data.items() if isinstance(item, (str, int, float))}
    try:
        return value.format_map(said | {"twin": notice.about.twin, "id": notice.id})
    except (LookupError, ValueError, AttributeError) as error:
        message = f"The identifier '{value}' asks for what alert '{notice.id}' does not say: {error}."
        raise InvalidInput(message, hint=f"It says {', '.join(said)}.") from error
