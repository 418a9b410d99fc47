"""What every route of the face works with: the engine, who asks, and addresses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request

from gemel.base.clock import iso, parse_duration
from gemel.core.engine import Engine
from gemel.core.workspace import Workspace
from gemel.server import Hosting

PREFIX = "/openeo/1.2"
API_VERSION = "1.2.0"
STAC_VERSION = "1.1.0"
Document = dict[str, Any]
Link = dict[str, str]


@dataclass(frozen=True)
class Context:
    """The engine behind the routes."""

    hosting: Hosting

    @property
    def engine(self) -> Engine:
        """Return the engine."""
        return self.hosting.service.engine

    @property
    def workspace(self) -> Workspace:
        """Return what people keep on the engine."""
        return self.engine.workspace

    def signed(self, request: Request, path: str, prefix: str = PREFIX) -> str:
        """Return the address of a path of the face (or of what lies at another prefix) that can be read for a while."""
        seconds = parse_duration(self.engine.settings.server.links).total_seconds()
        query = self.hosting.links.query(f"{prefix}{path}", seconds)
        return f"{root(request)}{prefix}{quote(path)}?{query}"


def person(request: Request) -> str:
    """Return whose things a request is about; a signed address was handed out by the owner."""
    actor = request.scope["actor"]
    return "owner" if actor.id == "link" else str(actor.id)


def root(request: Request) -> str:
    """Return the engine's address as the client spells it; the gate has checked the host."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}"


def address(request: Request, path: str = "") -> str:
    """Return the absolute address of a path of the face."""
    return f"{root(request)}{PREFIX}{quote(path, safe='/{}')}"


def instant(seconds: float) -> str:
    """Return an instant in seconds since 1970 as RFC 3339."""
    return str(iso(datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)))


def page_links(request: Request, path: str, found: list[Any], limit: int | None, last: str | None) -> list[Link]:
    """Return the link to the next page, where there may be one."""
    if limit is None or len(found) < limit or last is None:
        return []
    query = urlencode({"limit": limit, "after": last})
    return [{"rel": "next", "href": f"{address(request, path)}?{query}", "type": "application/json"}]
