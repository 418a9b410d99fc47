"""Bodies of requests, as the openEO API 1.2.0 describes them; what a client adds beside is kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gemel.faces.openeo._errors import RequestRefused

Level = Literal["error", "warning", "info", "debug"]
Document = dict[str, Any]
_DEEPEST = 100
_OWN = {"title", "description", "process", "type", "enabled", "configuration"}


class _Order(BaseModel):
    model_config = ConfigDict(extra="allow")

    title: str | None = None
    description: str | None = None
    plan: str | None = None
    budget: Annotated[float, Field(ge=0)] | None = None
    log_level: Level | None = None

    def values(self) -> Document:
        """Return what was said: columns of their own, and everything else as settings."""
        said = self.model_dump(exclude_unset=True)
        settings = {name: value for name, value in said.items() if name not in _OWN}
        values = {name: value for name, value in said.items() if name in _OWN}
        return values | ({"settings": settings} if settings else {})


class NewJob(_Order):
    """Body of `POST /jobs` and `POST /result`."""

    process: Document


class ChangedJob(_Order):
    """Body of `PATCH /jobs/{job_id}`."""

    process: Document | None = None


class NewService(_Order):
    """Body of `POST /services`."""

    process: Document
    type: str
    enabled: bool = True
    configuration: Document = {}


class ChangedService(_Order):
    """Body of `PATCH /services/{service_id}`."""

    process: Document | None = None
    enabled: bool | None = None
    configuration: Document | None = None


def with_graph(process: Document) -> Document:
    """Return a process after seeing that it has a process graph.

    Raises:
        RequestRefused: It has none, or it is nested so deeply that no person wrote it.
    """
    if not isinstance(process.get("process_graph"), dict) or not process["process_graph"]:
        raise RequestRefused(400, "ProcessGraphMissing", "Invalid process specified: it has no process graph.")
    if _is_deep(process):
        message = f"Invalid process graph specified: it is nested more than {_DEEPEST} levels deep."
        raise RequestRefused(400, "ProcessGraphInvalid", message)
    return process


def _is_deep(value: Any) -> bool:
    # Level by level and not by recursion, which is what a deep body would exhaust.
    level = [value]
    for _ in range(_DEEPEST):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list))]
        level = [item for group in inner for item in group]
        if not level:
            return False
    return True
