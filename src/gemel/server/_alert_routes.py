"""Alerts under /api/v1: what was warned of, as CAP messages too, and where warnings go."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from gemel.base.errors import InvalidInput
from gemel.core.engine._alert_service import AlertService

Document = dict[str, Any]


def alert_api(service: AlertService) -> APIRouter:
    """Return the routes of alerts and outlets."""
    router = APIRouter(prefix="/api/v1")

    @router.get("/alerts")
    def listed(twin: str | None = None, count: Annotated[int, Query(ge=1, le=1000)] = 50) -> Document:
        return {"alerts": service.alerts(twin, count)}

    @router.get("/twins/{twin}/alerts/{position}/cap", response_class=Response)
    def cap(twin: str, position: str) -> Response:
        if not position.isdecimal():
            raise InvalidInput(f"'{position[:40]}' is no position of an alert.", hint="GET /api/v1/alerts tells them.")
        return Response(service.cap(twin, int(position)), media_type="application/cap+xml")

    @router.get("/outlets")
    def outlets() -> Document:
        return {"outlets": service.outlets()}

    return router
