"""The Jinja environment: every value escaped, undefined names are errors."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from gemel.ui import _format, _picture, _plume, _shapes
from gemel.ui._static import asset

# Icons and words for every state, so that no page says anything by colour alone.
STATES = {
    "in-step": ("check", "In step", "good"),
    "late": ("clock", "Late", "watch"),
    "silent": ("cross", "Silent", "bad"),
    "not-live": ("pause", "Not live", "plain"),
    "queued": ("clock", "queued", "plain"),
    "running": ("play", "running", "plain"),
    "finished": ("check", "finished", "good"),
    "failed": ("cross", "failed", "bad"),
    "cancelled": ("pause", "cancelled", "plain"),
    "ok": ("check", "ok", "good"),
    "watch": ("eye", "watch", "watch"),
    "warning": ("alert", "warning", "bad"),
}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gemel.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        ago=_format.ago,
        cell=_format.cell,
        duration=_format.duration,
        moment=_format.moment,
        number=_format.number,
        percent=_format.percent,
        unit=_format.unit_label,
    )
    environment.globals.update(
        STATES=STATES,
        asset=asset,
        dots=_shapes.dots,
        elapsed=_format.elapsed,
        forecast_rows=_plume.forecast_rows,
        horizon_days=_plume.horizon_days,
        latest=_plume.latest,
        past_rows=_plume.past_rows,
        peak=_plume.peak,
        picture=_picture.picture,
        quantity=_format.quantity,
        slices=_shapes.slices,
        spoken=_plume.spoken,
    )
    return environment


_ENVIRONMENT = _environment()


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return the page drawn from `template`."""
    text = _ENVIRONMENT.get_template(template).render(**values)
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})
