"""Twins, runs and live status as the JSON documents that CLI, SDK and HTTP share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gemel.base.clock import iso
from gemel.core.engine._freshness import LiveStatus
from gemel.core.graph import Run, StepRecord
from gemel.core.twin import Twin

API = "/api/v1"


def run_document(run: Run) -> dict[str, Any]:
    """Return a run in the shape of the blueprint's section 5."""
    return {
        "id": run.id,
        "twin": run.twin,
        "graph": run.graph,
        "state": run.state,
        "started": _instant(run.started or run.created),
        "ended": _instant(run.ended),
        "parameters": {name: value for name, value in run.arguments.items() if _is_plain(value)},
        "steps": [_step(step) for step in sorted(run.steps, key=lambda item: (item.started or 0.0, item.node))],
        "outputs": [
            {
                "name": output.name,
                "href": f"{API}/runs/{run.id}/outputs/{output.name}",
                "format": output.format,
                "unit": output.unit,
            }
            for output in run.outputs
        ],
        "checks": [{name: check[name] for name in ("id", "passed", "value", "bar")} for check in run.checks],
        "error": dict(run.error) if run.error else None,
    }


def twin_document(twin: Twin, *, live: bool) -> dict[str, Any]:
    """Return everything a person or page needs to know to use a twin."""
    manifest = twin.manifest
    table, physical = manifest.twin, manifest.physical
    return {
        "id": twin.id,
        "version": table.version,
        "title": table.title or twin.id,
        "summary": table.summary,
        "licence": table.licence,
        "citation": table.citation,
        "contact": table.contact,
        "origin": twin.origin,
        "physical": physical.model_dump(),
        "parameters": [
            {"name": name, **spec.model_dump(include={"title", "unit", "default", "minimum", "maximum", "step"})}
            for name, spec in manifest.parameters.items()
            if spec.slider
        ],
        "graphs": list(twin.graphs),
        "main": twin.main,
        "views": [
            {
                "id": view.id,
                "kind": view.kind,
                "title": view.title,
                "output": view.output,
                "options": dict(view.options),
            }
            for view in manifest.views
        ],
        "live": live,
    }


def live_document(twin: Twin, status: LiveStatus) -> dict[str, Any]:
    """Return how far a twin is from its physical twin."""
    speeds = [str(spec.options["speed"]) for spec in twin.manifest.sources.values() if "speed" in spec.options]
    return {
        "twin": twin.id,
        "clock": iso(status.clock),
        "freshness": {
            "state": status.freshness,
            "age_seconds": None if status.age is None else round(status.age, 3),
            "sync": twin.manifest.physical.sync,
            "speed": speeds[0] if speeds else None,
            "last_observation": iso(status.last_observation),
            "late_observations": status.late,
            "duplicates": status.duplicates,
            "gaps": status.gaps,
            "rejected": status.rejected,
        },
        "lag": {"waiting": status.waiting, "seconds": status.lag},
        "parts": dict(status.parts),
        "standing_by": status.standing_by,
        "misfit": dict(status.misfit) if status.misfit else None,
        "problem": dict(status.problem) if status.problem else None,
        "run": status.run,
        "sequence": status.sequence,
    }


def _step(step: StepRecord) -> dict[str, Any]:
    return {
        "id": step.node,
        "process": step.process,
        "state": step.state,
        "cached": bool(step.cached),
        "seconds": None if step.seconds is None else round(step.seconds, 6),
    }


def _instant(seconds: float | None) -> str | None:
    return None if seconds is None else iso(datetime.fromtimestamp(seconds, UTC))


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
