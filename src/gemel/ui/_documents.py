"""What the pages ask of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Document = Mapping[str, Any]


class Documents(Protocol):
    """Source of the documents that pages are drawn from, each in the shape that `/api/v1` serves.

    Every method is called from a worker thread and may block. For an unknown id they raise what the API raises;
    the server's error handler turns it into a page with `problem_page`.
    """

    def twins(self) -> Document:
        """Return `{"twins": [{"id", "version", "title", "summary", "live"}]}`."""
        ...

    def twin(self, twin: str) -> Document:
        """Return the twin's description: parameters, views, physical twin, citation."""
        ...

    def card(self, twin: str) -> str:
        """Return the twin's card as Markdown."""
        ...

    def live(self, twin: str) -> Document:
        """Return clock, freshness, misfit and sequence of the physical twin."""
        ...

    def views(self, twin: str) -> Document:
        """Return `{"views": [...]}` of the last live update, else of the last run."""
        ...

    def report(self, twin: str) -> Document | None:
        """Return the last report of the twin's checks, or None when it was never checked."""
        ...

    def runs(self, twin: str | None, limit: int) -> Document:
        """Return `{"runs": [...]}`, newest first, at most `limit` of them."""
        ...

    def run(self, run: str) -> Document:
        """Return one run with its steps, outputs, checks, parameters and error."""
        ...

    def logs(self, run: str) -> Document:
        """Return `{"logs": [{"time", "step", "level", "message"}]}` of one run."""
        ...
