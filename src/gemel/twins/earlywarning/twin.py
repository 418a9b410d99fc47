"""Graphs of the early-warning twin: what is done with the processes beside this file, and in which order."""

from __future__ import annotations

from typing import Any

from gemel.core.graph import Dataset, File, graph

from ._forecasting import (
    advanced,
    doubt_of,
    drought_indicators,
    misfit_of,
    plume,
    predicted,
    standing,
    state_or_standing,
    uncertainty_of,
    warnings_of,
)
from ._model import (
    basin_record,
    calibrated,
    flood_levels,
    residual_trees,
    runoff_model,
    thresholds_of,
)
from ._validation import figures_of, forecast_figures, rotation


def _trained(record: Any, period: Any) -> Any:
    parameters = calibrated(record, period)
    return runoff_model(record, parameters, residual_trees(record, parameters))


def _issued(record: Any, model: Any, state: Any, period: Any, limit: Any) -> dict[str, Any]:
    coming = predicted(state, model)
    levels = flood_levels(record, period)
    return {
        "forecast": plume(coming, state),
        "alerts": warnings_of(coming, levels, state, limit),
        "indicators": drought_indicators(record, state, period),
        "doubt": doubt_of(coming),
        "thresholds": thresholds_of(levels),
    }


@graph
def train(record: File, area: float, latitude: float, place: str, train: str) -> Dataset:
    """Fit the whole forecast model to the training period."""
    return {"model": _trained(basin_record(record, area, latitude, place), train)}  # type: ignore[return-value]


@graph
def update(  # noqa: PLR0913 - one parameter for each thing that can be bound
    observation: dict[str, Any],
    record: File,
    area: float,
    latitude: float,
    place: str,
    train: str,
    limit: float = 0.1,
    state: Dataset | None = None,
) -> Dataset:
    """Take in one observed day, and forecast from there."""
    data = basin_record(record, area, latitude, place)
    model = _trained(data, train)
    now = advanced(state, observation, data, model)
    return {  # type: ignore[return-value]
        "state": now,
        **_issued(data, model, now, train, limit),
        "misfit": misfit_of(now),
        "uncertainty": uncertainty_of(now),
    }


@graph
def forecast(  # noqa: PLR0913
    record: File, area: float, latitude: float, place: str, train: str, issued: str, limit: float = 0.1
) -> Dataset:
    """Forecast issued at the end of a day, with what was known then and nothing later."""
    data = basin_record(record, area, latitude, place)
    model = _trained(data, train)
    return _issued(data, model, standing(data, model, issued), train, limit)  # type: ignore[return-value]


@graph
def whatif(  # noqa: PLR0913
    record: File,
    area: float,
    latitude: float,
    place: str,
    train: str,
    issued: str,
    rain: float = 1.0,
    temperature: float = 0.0,
    limit: float = 0.1,
    state: Dataset | None = None,
) -> Dataset:
    """Forecast with other weather in the coming days, beside the one without the change."""
    data = basin_record(record, area, latitude, place)
    model = _trained(data, train)
    now = state_or_standing(state, data, model, issued)
    changed = predicted(now, model, rain, temperature)
    levels = flood_levels(data, train)
    return {  # type: ignore[return-value]
        "forecast": plume(changed, now),
        "baseline": plume(predicted(now, model), now),
        "alerts": warnings_of(changed, levels, now, limit),
        "doubt": doubt_of(changed),
        "thresholds": thresholds_of(levels),
    }


@graph
def validate(  # noqa: PLR0913
    record: File,
    second: File,
    area: float,
    latitude: float,
    place: str,
    train: str,
    test: str,
    rotations: str,
    second_train: str,
    second_test: str,
) -> dict[str, Any]:
    """Figures on days that no fit has seen, over several splits and seeds, and the same chain on a second basin."""
    data = basin_record(record, area, latitude, place)
    other = basin_record(second)
    first = forecast_figures(data, _trained(data, train), test)
    elsewhere = forecast_figures(other, _trained(other, second_train), second_test)
    return {"figures": figures_of(first, rotation(data, train, test, rotations), elsewhere)}
