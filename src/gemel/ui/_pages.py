"""The routes of the pages. Full pages work without scripts; `/now` parts are what htmx swaps in while they are open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from gemel.ui._card import render_card
from gemel.ui._documents import Document, Documents
from gemel.ui._plume import peak
from gemel.ui._snippets import snippets
from gemel.ui._templates import render

RECENT_RUNS = 8
_ENDED = ("finished", "failed", "cancelled")


def pages(documents: Documents) -> APIRouter:
    """Return the router of all pages: `/`, `/twins…` and `/runs/{id}`.

    Args:
        documents: Where the pages get what they show. Who may see it is decided before a request comes here.
    """
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    _twin_pages(router, documents)
    _run_pages(router, documents)
    return router


def _twin_pages(router: APIRouter, documents: Documents) -> None:
    @router.get("/")
    def home() -> HTMLResponse:
        """Return the page of the first live twin, or the list when there is none."""
        twins = documents.twins()["twins"]
        chosen = next((twin for twin in twins if twin["live"]), twins[0] if twins else None)
        if chosen is None:
            return render("twins.html", twins=twins)
        return render("twin.html", **_twin(documents, chosen["id"]))

    @router.get("/twins")
    def all_twins() -> HTMLResponse:
        """Return the list of twins."""
        return render("twins.html", twins=documents.twins()["twins"])

    @router.get("/twins/{twin}")
    def one(twin: str) -> HTMLResponse:
        """Return the page of one twin."""
        return render("twin.html", **_twin(documents, twin))

    @router.get("/twins/{twin}/now")
    def now(twin: str) -> HTMLResponse:
        """Return the parts of a twin's page that change while it lives."""
        return render("twin-now.html", **_twin(documents, twin))

    @router.get("/twins/{twin}/views/{view}/table")
    def table(twin: str, view: str) -> HTMLResponse:
        """Return the numbers behind one chart."""
        found = _one(documents.views(twin)["views"], view)
        return render("parts/plume-table.html", view=found)

    @router.get("/twins/{twin}/card")
    def card(twin: str) -> HTMLResponse:
        """Return the twin's card."""
        return render("card.html", twin=documents.twin(twin), card=render_card(documents.card(twin)))

    @router.get("/twins/{twin}/report")
    def report(twin: str) -> HTMLResponse:
        """Return the last report of the twin's checks."""
        return render("report.html", twin=documents.twin(twin), report=documents.report(twin))


def _run_pages(router: APIRouter, documents: Documents) -> None:
    @router.get("/runs/{run}")
    def one(run: str) -> HTMLResponse:
        """Return the page of one run."""
        return render("run.html", **_run(documents, run))

    @router.get("/runs/{run}/now")
    def now(run: str) -> HTMLResponse:
        """Return the parts of a run's page that change while it runs."""
        return render("run-now.html", **_run(documents, run))


def _one(views: Sequence[Document], name: str) -> Document | None:
    return next((view for view in views if view["id"] == name), None)


def _twin(documents: Documents, name: str) -> dict[str, Any]:
    """Gather what a twin's page shows; views come in the order that the twin declares."""
    twin = documents.twin(name)
    known = {view["id"]: view for view in documents.views(name)["views"]}
    declared = [known.get(view["id"], {**view, "waiting": True}) for view in twin["views"]]
    extra = [view for key, view in known.items() if all(key != view["id"] for view in twin["views"])]
    views = [{"waiting": False, **view} for view in (*declared, *extra)]
    lead = next((view for view in views if view["kind"] == "plume"), None)
    return {
        "twin": twin,
        "twins": documents.twins()["twins"],
        "live": documents.live(name),
        "views": views,
        "lead": lead,
        "top": peak(lead["quantiles"]) if lead and not lead["waiting"] else None,
        "runs": documents.runs(name, RECENT_RUNS)["runs"],
        "snippets": snippets(twin),
    }


def _run(documents: Documents, name: str) -> dict[str, Any]:
    """Gather what a run's page shows."""
    run = documents.run(name)
    longest = max((step["seconds"] or 0.0 for step in run["steps"]), default=0.0)
    return {
        "run": run,
        "twin": documents.twin(run["twin"]) if run["twin"] else None,
        "logs": documents.logs(name)["logs"],
        "longest": longest or 1.0,
        "ended": run["state"] in _ENDED,
    }
