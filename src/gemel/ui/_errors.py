"""The page for a problem: what happened, and what to do next."""

from __future__ import annotations

from starlette.responses import HTMLResponse

from gemel.ui._documents import Document
from gemel.ui._templates import render


def problem_page(problem: Document) -> HTMLResponse:
    """Return an RFC 9457 problem document as a page with the same status.

    Args:
        problem: `{"title", "status", "detail", "code", "hint"}` as the API sends it; `hint` may be absent.
    """
    return render("problem.html", int(problem.get("status", 500)), problem={"hint": None, "code": None, **problem})
