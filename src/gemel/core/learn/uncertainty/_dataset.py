"""Answers as datasets: a model's outputs with units, and a dimension `quantile` where the model tells its doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gemel.core.learn.models import Answer, Bundle, Description, Learner
from gemel.core.learn.samples import Port, Samples, SplitRule
from gemel.core.learn.uncertainty._answers import quantiles_of
from gemel.core.learn.uncertainty._building import loaded
from gemel.core.learn.uncertainty._doubt import Doubt

_COUNTING = ("sample", "time", "t", "gemel_row")


@dataclass(frozen=True, eq=False)
class _Places:
    """Where answers go: along which dimension, at which positions of how many."""

    dataset: xr.Dataset
    along: str
    positions: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: xr.Dataset, ports: Sequence[Port], along: str | None) -> tuple[_Places, Samples]:
        # Samples leave out what is missing; numbered, they say what they left.
        numbered = dataset.assign_coords(
            {str(dim): np.arange(size) for dim, size in dataset.sizes.items() if along in (None, dim)}
        )
        samples = Samples.of(numbered, ports, along=along)
        counted = along or next(name for name in _COUNTING if name in dataset.dims)
        assert samples.labels is not None
        return cls(dataset, counted, samples.labels.astype(np.int64)), samples

    def dims(self, port: Port, inputs: Sequence[Port]) -> tuple[str, ...]:
        """Return the names of a port's axes: those of an input of the same shape, where there is one."""
        like = next((other for other in inputs if port.shape and other.shape == port.shape), None)
        if like is not None:
            return tuple(str(dim) for dim in self.dataset[like.name].dims if dim != self.along)
        return tuple(f"{port.name}_{axis}" for axis in range(len(port.shape)))

    def spread(self, values: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        """Return values at their positions, NaN (-1 for classes) where the inputs had missing ones."""
        count = self.dataset.sizes[self.along]
        if len(self.positions) == count:
            return values
        shape = (*values.shape[:axis], count, *values.shape[axis + 1 :])
        whole = np.full(shape, -1 if values.dtype.kind == "i" else np.nan, dtype=values.dtype)
        whole[(slice(None),) * axis + (self.positions,)] = values
        return whole


def answer_dataset(
    bundle: Bundle,
    inputs: xr.Dataset,
    levels: Sequence[float] = (0.05, 0.5, 0.95),
    *,
    learner: Learner | None = None,
    along: str | None = None,
) -> xr.Dataset:
    """Return what a model answers to a dataset: a variable for each output, along the dimension that counts samples.

    A variable has a first dimension `quantile` where the model tells its doubt, and the attribute `uncertainty`: `quantile`,
    `probability` (of classes, in `NAME_probability`), or `unknown`. Where an input was missing, so is the answer (NaN; -1
    for classes). Models without outputs answer with what they draw.

    Args:
        bundle: The model.
        inputs: A variable for each input port; converted to the ports' units.
        levels: Of the quantiles, rising.
        learner: The bundle's learner, where it is loaded already.
        along: Dimension that counts samples; default that of the description's split, else `sample`, `time` or `t`.

    Raises:
        NotFound: An input is missing.
        InvalidInput: An input does not fit, or the levels are beyond those that were learned.
        UnitMismatch: A unit measures something else.
    """
    description = bundle.description
    known = learner or loaded(bundle)
    places, samples = _Places.of(inputs, description.inputs, along or SplitRule.read(description.split).along or None)
    quantiles = quantiles_of(known, description, samples.inputs, levels)
    answer = known.predict(samples.inputs) if len(quantiles) < len(description.outputs) or not quantiles else {}
    variables: dict[str, Any] = {}
    for port in description.outputs or description.inputs:
        variables |= _variables(port, description, places, answer, quantiles)
    coords: dict[str, Any] = {}
    if quantiles:
        coords["quantile"] = ("quantile", np.asarray(levels, np.float64), {"units": "1", "long_name": "quantile level"})
    if places.along in inputs.coords:
        coords[places.along] = inputs[places.along]
    attributes = {"Conventions": "CF-1.11", "model": bundle.digest, "kind": description.kind}
    return xr.Dataset(variables, coords, attributes)


def _variables(
    port: Port,
    description: Description,
    places: _Places,
    answer: Answer,
    quantiles: Mapping[str, NDArray[Any]],
) -> dict[str, Any]:
    dims = (places.along, *places.dims(port, description.inputs))
    told = {"units": port.unit, "long_name": port.name}
    if port.name in quantiles:
        told |= {"uncertainty": "quantile", "method": _method(description)}
        values = places.spread(quantiles[port.name].astype(_floating(port)), axis=1)
        return {port.name: (("quantile", *dims), values, told)}
    if f"{port.name}_probability" not in answer:
        return {port.name: (dims, places.spread(answer[port.name]), told | {"uncertainty": "unknown"})}
    name = f"{port.name}_probability"
    certain = {"units": "1", "long_name": f"probability of each class of {port.name}", "uncertainty": "unknown"}
    return {
        port.name: (dims, places.spread(answer[port.name]), told | {"uncertainty": "probability"}),
        name: ((*dims, f"{port.name}_class"), places.spread(answer[name]), certain),
    }


def _method(description: Description) -> str:
    doubt = Doubt.read(description.uncertainty)
    own = doubt.method if doubt.method != "none" else description.kind
    return f"{own}, conformal" if doubt.conformal else own


def _floating(port: Port) -> str:
    return port.dtype if port.dtype != "int64" else "float64"
