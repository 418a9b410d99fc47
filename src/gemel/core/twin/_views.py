"""What a page shows of a run's outputs: small JSON documents by kind of view, with units, and null for no data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gemel.base.errors import InvalidInput, did_you_mean
from gemel.core.twin._manifest import ViewSpec

Outputs = Mapping[str, Any]
_SIGNIFICANT = 6  # digits a page can use; more would only make the documents longer


def draw(spec: ViewSpec, outputs: Outputs, report: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the document of one view; a view that cannot be drawn is empty and says why in ``note``."""
    document: dict[str, Any] = {"id": spec.id, "kind": spec.kind, "title": spec.title or spec.id}
    if spec.kind == "quality":
        return document | _quality(spec, report)
    if spec.output not in outputs:
        return document | _EMPTY[spec.kind] | {"waiting": True, "note": "Nothing yet: waiting for the first run."}
    try:
        return document | _DRAWERS[spec.kind](spec, outputs)
    except InvalidInput as error:
        note = f"{error.message} {error.hint or ''}".strip()
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
        # One odd output must not take the whole page with it.
        note = f"View '{spec.id}': output '{spec.output}' is nothing that a {spec.kind} shows ({error})."
    return document | _EMPTY[spec.kind] | {"waiting": True, "note": note}


def _plume(spec: ViewSpec, outputs: Outputs) -> dict[str, Any]:
    options, data = spec.options, outputs[spec.output]
    name = str(options.get("variable", ""))
    field = _variable(data, name, spec)
    unit = str(field.attrs.get("units", "1"))
    quantiles = _quantiles(field)
    if not _over_time(field):
        return _as_table(field, quantiles, unit)
    baseline = outputs.get(str(options.get("baseline", "")))
    observed = _series_of(data, options.get("observed"), spec) or _NO_SERIES
    return {
        "unit": unit,
        "variable": name or str(field.name),
        "issued": data.attrs.get("issued") or (observed["time"] or quantiles["time"])[-1 if observed["time"] else 0],
        "quantiles": quantiles,
        "baseline": None if baseline is None else _quantiles(_variable(baseline, name, spec)),
        "observed": observed,
        "fitted": _series_of(data, options.get("fitted"), spec),
        "thresholds": outputs.get(str(options.get("thresholds", "")), []),
        "drivers": [_driver(data, str(driver), spec) for driver in options.get("drivers", [])],
    }


def _over_time(field: xr.DataArray) -> bool:
    return any(np.issubdtype(field[dim].dtype, np.datetime64) for dim in field.dims)


def _as_table(field: xr.DataArray, quantiles: dict[str, Any], unit: str) -> dict[str, Any]:
    # Without instants there is no hydrograph to draw; the numbers are shown all the same.
    along = next(str(dim) for dim in field.dims if dim != "quantile")
    axis = {"name": along, "title": along, "unit": str(field[along].attrs.get("units", ""))}
    levels = [{"name": f"{level:g}", "title": f"{level:.0%}", "unit": unit} for level in quantiles["levels"]]
    rows = [list(row) for row in zip(quantiles["time"], *quantiles["values"], strict=True)]
    return {"kind": "table", "columns": [axis, *levels], "rows": rows}


def _quantiles(field: xr.DataArray) -> dict[str, Any]:
    if "quantile" not in field.dims:
        field = field.expand_dims(quantile=[0.5])
    along = next(str(dim) for dim in field.dims if dim != "quantile")
    levels = [round(float(level), 6) for level in field["quantile"].values]
    values = field.transpose("quantile", along).values
    return {"time": _axis(field[along]), "levels": levels, "values": [_numbers(row) for row in values]}


def _series_of(data: xr.Dataset, name: Any, spec: ViewSpec) -> dict[str, Any] | None:
    if name is None:
        return None
    field = _variable(data, str(name), spec)
    return {"time": _axis(field[field.dims[0]]), "values": _numbers(field.values)}


def _driver(data: xr.Dataset, name: str, spec: ViewSpec) -> dict[str, Any]:
    field = _variable(data, name, spec)
    if "quantile" in field.dims:
        field = field.sel(quantile=0.5, method="nearest")
    title = str(field.attrs.get("long_name", name))
    axis = {"time": _axis(field[field.dims[0]]), "values": _numbers(field.values)}
    return {"name": name, "title": title, "unit": str(field.attrs.get("units", "1")), **axis}


def _variable(data: Any, name: str, spec: ViewSpec) -> xr.DataArray:
    if isinstance(data, xr.DataArray):
        return data
    if isinstance(data, xr.Dataset) and (name in data or not name):
        return data[name or next(iter(data.data_vars))]
    known = list(map(str, data)) if isinstance(data, xr.Dataset) else []
    hint = did_you_mean(name, known) or f"It has: {', '.join(known)}."
    raise InvalidInput(f"View '{spec.id}': output '{spec.output}' has no variable '{name}'.", hint=hint)


def _listed(key: str) -> Callable[[ViewSpec, Outputs], dict[str, Any]]:
    def drawer(spec: ViewSpec, outputs: Outputs) -> dict[str, Any]:
        return {key: _clean(outputs[spec.output])}

    return drawer


def _doubt(spec: ViewSpec, outputs: Outputs) -> dict[str, Any]:
    shares = outputs[spec.output]
    if not isinstance(shares, xr.DataArray) or "origin" not in shares.dims:
        raise InvalidInput(f"View '{spec.id}': output '{spec.output}' has no dimension 'origin'.")
    others = [dim for dim in shares.dims if dim != "origin"]
    leads = shares[others[0]].values.tolist() if others else []
    mean = shares.mean(others)
    items = [
        {
            "origin": str(origin),
            "share": _number(float(mean.sel(origin=origin))),
            "by_lead": _numbers(np.atleast_1d(shares.sel(origin=origin).values)),
        }
        for origin in shares["origin"].values
    ]
    return {"items": items, "unit": "1", "lead_days": leads}


def _table(spec: ViewSpec, outputs: Outputs) -> dict[str, Any]:
    data = outputs[spec.output]
    frame = data.to_dataframe().reset_index() if isinstance(data, (xr.Dataset, xr.DataArray)) else pd.DataFrame(data)
    units = {str(name): str(data[name].attrs.get("units", "")) for name in data} if isinstance(data, xr.Dataset) else {}
    columns = [{"name": str(name), "title": str(name), "unit": units.get(str(name), "")} for name in frame]
    return {"columns": columns, "rows": _clean(frame.astype(object).where(frame.notna(), None).values.tolist())}


def _reliability(spec: ViewSpec, outputs: Outputs) -> dict[str, Any]:
    found = outputs[spec.output]
    for part in str(spec.options.get("path", "")).split("."):
        found = found[part] if part else found
    return {name: _clean(found[name]) for name in ("forecast", "observed", "count")}


def _quality(spec: ViewSpec, report: Mapping[str, Any] | None) -> dict[str, Any]:
    if report is None:
        return {"line": "Not checked yet: gemel check TWIN", "passed": None, "report": None}
    wanted = spec.options.get("show") or [check["id"] for check in report["checks"]]
    shown = [check for check in report["checks"] if check["id"] in wanted]
    return {"line": " · ".join(map(_spoken, shown)), "passed": report["passed"], "report": dict(report)}


def _spoken(check: Mapping[str, Any]) -> str:
    value = check["value"]
    number = f"{value:.3g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
    unit = f" {check['unit']}" if check.get("unit") not in (None, "1") else ""
    return f"{check['title'] or check['id']} {number}{unit}" + ("" if check["passed"] else " ✗")


def _axis(coordinate: xr.DataArray) -> list[Any]:
    values = coordinate.values
    if np.issubdtype(values.dtype, np.datetime64):
        return [f"{text}Z" for text in np.datetime_as_string(values, unit="s")]
    return list(values.tolist())


def _numbers(values: Any) -> list[float | None]:
    return [_number(value) for value in np.asarray(values, dtype=float)]


def _number(value: float) -> float | None:
    return float(f"{value:.{_SIGNIFICANT}g}") if math.isfinite(value) else None


def _clean(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _clean(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat() + "Z"
    return value


_DRAWERS: dict[str, Callable[[ViewSpec, Outputs], dict[str, Any]]] = {
    "plume": _plume,
    "alerts": _listed("alerts"),
    "indicators": _listed("items"),
    "doubt": _doubt,
    "table": _table,
    "reliability": _reliability,
}
_NO_SERIES: dict[str, Any] = {"time": [], "values": []}
_EMPTY: dict[str, dict[str, Any]] = {
    "plume": {
        "unit": "1",
        "variable": "",
        "issued": None,
        "quantiles": {"time": [], "levels": [], "values": []},
        "baseline": None,
        "observed": _NO_SERIES,
        "fitted": None,
        "thresholds": [],
        "drivers": [],
    },
    "alerts": {"alerts": []},
    "indicators": {"items": []},
    "doubt": {"items": [], "unit": "1", "lead_days": []},
    "table": {"columns": [], "rows": []},
    "reliability": {"forecast": [], "observed": [], "count": []},
}
