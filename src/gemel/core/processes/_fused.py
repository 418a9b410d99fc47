"""Chains of processes that are computed in one pass through the data, with the same result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from gemel.base.errors import ProcessRefused
from gemel.core.cubes import of_the_year, period_labels, running_numbers, sums_of_groups, temporal_dim
from gemel.core.graph import Field, PlannedStep, process
from gemel.core.processes._normals import codes_of
from gemel.core.processes.aggregation import instants_along, named_periods

_RECURRING = ("day", "month", "season", "tropical-season")


@process(id="anomaly_means", durable=False, categories=("climatology",))
def anomaly_means(data: Field, climate: str, climatology_period: list[int], period: str) -> Field:
    """Means over calendar periods of the departure from the climatological normal.

    It gives what `climatological_normal`, `anomaly` and `aggregate_temporal_period` with `mean` give one after the other, up
    to rounding: the mean of departures is the mean of values minus that of normals, so sums of groups, taken in one pass,
    are all that is needed.

    Args:
        data: A cube with one temporal dimension.
        climate: Calendar period of the normals.
        climatology_period: First and last year of the climatology.
        period: Calendar period of the means.
    """
    name = temporal_dim(data)
    times = instants_along(data, name)
    recurring = of_the_year(period_labels(running_numbers(times, climate), climate), climate)
    inside, labels = codes_of(times, climate, climatology_period)
    known = {label: code for code, label in enumerate(labels)}
    numbers = running_numbers(times, period)
    strange = sorted(set(recurring) - set(known))
    if strange:
        message = f"The normals have no label '{strange[0]}', which the cube's times fall into."
        raise ProcessRefused(message, exception="DimensionMismatch")
    first, last = int(numbers.min()), int(numbers.max())
    normal = np.array([known[label] for label in recurring])
    # One group for each combination that occurs: period of the mean, of the normal, and whether the normal counts it.
    kinds, codes = np.unique(np.stack([numbers - first, normal, inside >= 0]), axis=1, return_inverse=True)
    axis = int(data.get_axis_num(name))
    sums, counts = sums_of_groups(np.ascontiguousarray(data.values), axis, codes.reshape(-1), kinds.shape[1])
    sums, counts = np.moveaxis(sums, axis, 0), np.moveaxis(counts, axis, 0)
    means = _means(sums, counts, kinds, (last - first + 1, len(labels)))
    kind = data.dtype if data.dtype.kind == "f" else np.dtype(np.float64)
    left = data.isel({name: slice(0, 1)}).drop_vars([key for key, item in data.coords.items() if name in item.dims])
    made = (
        data.isel({name: np.zeros(len(means), dtype=int)})
        .drop_vars(name)
        .copy(data=np.moveaxis(means, 0, axis).astype(kind))
    )
    made = made.drop_vars([key for key in made.coords if key not in left.coords])
    return made.assign_coords({name: named_periods(name, period_labels(np.arange(first, last + 1), period))})


def _means(sums: Any, counts: Any, kinds: Any, sizes: tuple[int, int]) -> Any:
    wanted, normal, counted = kinds
    with np.errstate(divide="ignore", invalid="ignore"):
        chosen = counted.astype(bool)
        normals = _added(sums[chosen], normal[chosen], sizes[1]) / _added(counts[chosen], normal[chosen], sizes[1])
        # Where a normal is missing so is the departure from it.
        there = (counts > 0) & ~np.isnan(normals[normal])
        apart = np.where(there, sums - counts * normals[normal], 0)
        return _added(apart, wanted, sizes[0]) / _added(np.where(there, counts, 0), wanted, sizes[0])


def _added(parts: Any, codes: Any, groups: int) -> Any:
    made = np.zeros((groups, *parts.shape[1:]))
    for part, code in zip(parts, codes, strict=True):
        made[code] += part
    return made


def means_at_once(anomaly: PlannedStep, steps: Mapping[str, PlannedStep]) -> Mapping[str, PlannedStep] | None:
    """Return the steps with the chain of normal, `anomaly` and mean that is among them as one step, or None."""
    uses = Counter(source for step in steps.values() for source in step.sources)
    mean = next((step for step in steps.values() if anomaly.id in step.sources), None)
    chain = _chain(mean, steps, uses) if mean else None
    if mean is None or chain is None:
        return None
    gone = {item.id for item in chain}
    return {
        name: _fused_step(mean, chain[1]) if name == mean.id else step
        for name, step in steps.items()
        if name not in gone
    }


def _chain(
    step: PlannedStep, steps: Mapping[str, PlannedStep], uses: Mapping[str, int]
) -> tuple[PlannedStep, PlannedStep] | None:
    if step.process.id != "aggregate_temporal_period" or not _is_mean(step.arguments):
        return None
    anomaly = _step(step.arguments["data"], steps, "anomaly", uses)
    normal = _step(anomaly.arguments["normals"], steps, "climatological_normal", uses) if anomaly else None
    if anomaly is None or normal is None:
        return None
    same = anomaly.arguments["data"] == normal.arguments["data"]
    period = normal.arguments["period"]
    return (anomaly, normal) if same and anomaly.arguments["period"] == period and period in _RECURRING else None


def _step(
    argument: Any, steps: Mapping[str, PlannedStep], process_id: str, uses: Mapping[str, int]
) -> PlannedStep | None:
    name = argument.get("from_node") if isinstance(argument, Mapping) else None
    found = steps.get(str(name))
    return found if found is not None and found.process.id == process_id and uses[found.id] == 1 else None


def _is_mean(arguments: Mapping[str, Any]) -> bool:
    if arguments.get("dimension") is not None or not isinstance(arguments.get("reducer"), Mapping):
        return False
    nodes = list(dict(arguments["reducer"].get("process_graph", {})).values())
    if len(nodes) != 1 or nodes[0].get("process_id") != "mean":
        return False
    given = nodes[0].get("arguments", {})
    return given.get("data") == {"from_parameter": "data"} and given.get("ignore_nodata", True) is True


def _fused_step(step: PlannedStep, normal: PlannedStep) -> PlannedStep:
    arguments = {
        "data": normal.arguments["data"],
        "climate": normal.arguments["period"],
        "climatology_period": normal.arguments["climatology_period"],
        "period": step.arguments["period"],
    }
    return PlannedStep(step.id, anomaly_means, arguments, normal.sources)
