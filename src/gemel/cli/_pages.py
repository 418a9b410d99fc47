"""The engine's documents in the shape the pages ask for."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from gemel.core.engine import Service
from gemel.server import Pages
from gemel.ui import CONTENT_SECURITY_POLICY, STATIC_PATH, pages, problem_page, static_files

Document = dict[str, Any]


class PageDocuments:
    """What the pages are drawn from: each answer as `/api/v1` wraps it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def twins(self) -> Document:
        """Return the twins."""
        return {"twins": [twin for twin in self._service.twins() if twin["problem"] is None]}

    def twin(self, twin: str) -> Document:
        """Return one twin."""
        return self._service.twin(twin)

    def card(self, twin: str) -> str:
        """Return a twin's card."""
        return self._service.card(twin)

    def live(self, twin: str) -> Document:
        """Return how far a twin is from its physical twin."""
        return self._service.live(twin)

    def views(self, twin: str) -> Document:
        """Return a twin's views."""
        return {"views": self._service.views(twin)}

    def report(self, twin: str) -> Document | None:
        """Return the newest report on a twin."""
        return self._service.report(twin)

    def runs(self, twin: str | None, limit: int) -> Document:
        """Return the newest runs."""
        return {"runs": self._service.runs(twin, None, limit)}

    def run(self, run: str) -> Document:
        """Return one run."""
        return self._service.run(run)

    def logs(self, run: str) -> Document:
        """Return the log lines of a run."""
        return {"logs": self._service.logs(run)}


def engine_pages() -> Pages:
    """Return the pages that the server hosts."""

    def router(service: Service) -> APIRouter:
        return pages(PageDocuments(service))

    return Pages(router, STATIC_PATH, static_files(), problem_page, CONTENT_SECURITY_POLICY)
