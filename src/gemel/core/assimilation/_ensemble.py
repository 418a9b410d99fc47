"""What all filters take: an ensemble of states, what it predicts of the observations, and the observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput

Array = NDArray[np.float64]

#: Dimension of an ensemble (CF conventions, standard name `realization`).
MEMBERS = "realization"


@dataclass(frozen=True)
class Ensemble:
    """An ensemble of states as a matrix.

    Attributes:
        values: (member, element).
        cube: The cube it is from, `realization` first.
    """

    values: Array
    cube: xr.DataArray

    @classmethod
    def of(cls, cube: xr.DataArray) -> Ensemble:
        """Return a cube with a dimension `realization` as an ensemble.

        Raises:
            InvalidInput: It has none, has fewer than two members, or holds what is not a number.
        """
        if MEMBERS not in cube.dims:
            hint = f"Give the dimension of members the name '{MEMBERS}'."
            raise InvalidInput(f"An ensemble needs a dimension '{MEMBERS}'; there are {list(cube.dims)}.", hint=hint)
        first = cube.transpose(MEMBERS, ...)
        values = np.asarray(first.values, dtype=np.float64).reshape(first.sizes[MEMBERS], -1)
        if len(values) < 2:
            raise InvalidInput(f"An ensemble has at least 2 members, not {len(values)}.")
        if not np.isfinite(values).all():
            raise InvalidInput("A state of the ensemble holds what is not a finite number.", hint="fill_gaps, or mask")
        return cls(values, first)

    def with_values(self, values: Array) -> xr.DataArray:
        """Return the cube with other values, its dimensions in their old order.

        Args:
            values: (member, element).
        """
        return self.cube.copy(data=values.reshape(self.cube.shape))

    def places(self, names: tuple[str, ...]) -> Array:
        """Return where each element lies: (element, coordinate), in the units of the coordinates.

        Raises:
            InvalidInput: A coordinate is not there.
        """
        missing = [name for name in names if name not in self.cube.coords]
        if missing:
            raise InvalidInput(f"The state has no coordinate '{missing[0]}', by which observations are placed.")
        shape = self.cube.isel({MEMBERS: 0}, drop=True)
        spread = [self.cube.coords[name].broadcast_like(shape).transpose(*shape.dims).values.ravel() for name in names]
        return np.stack([np.asarray(item, dtype=np.float64) for item in spread], axis=1)


@dataclass(frozen=True)
class Observed:
    """Observations that are there, with what each member predicts of them.

    Attributes:
        values: (observation,).
        errors: Standard errors, (observation,), in the unit of the values.
        predicted: (member, observation).
        places: (observation, coordinate).
        coordinates: Names of the coordinates.
    """

    values: Array
    errors: Array
    predicted: Array
    places: Array
    coordinates: tuple[str, ...]

    @classmethod
    def of(cls, observed: xr.DataArray, predicted: xr.DataArray, error: float | xr.DataArray | None) -> Observed:
        """Return observations without those that are missing.

        Args:
            observed: With one dimension; its coordinates tell where observations lie.
            predicted: The same for each member: (realization, the dimension of `observed`).
            error: Standard error, one for all or one each; default the coordinate `standard_error` of `observed`.

        Raises:
            InvalidInput: Dimensions do not fit, or an error is not positive.
        """
        if observed.ndim != 1:
            raise InvalidInput(f"Observations have one dimension, not {list(observed.dims)}.", hint="stack them")
        (dim,) = observed.dims
        if set(predicted.dims) != {MEMBERS, dim} or predicted.sizes[dim] != observed.sizes[dim]:
            hint = f"It needs the dimensions '{MEMBERS}' and '{dim}' ({observed.sizes[dim]})."
            raise InvalidInput(f"What is predicted does not fit the observations: {dict(predicted.sizes)}.", hint=hint)
        values = np.asarray(observed.values, dtype=np.float64)
        errors = _errors(observed, error)
        members = np.asarray(predicted.transpose(MEMBERS, dim).values, dtype=np.float64)
        there = np.isfinite(values) & np.isfinite(members).all(axis=0)
        names = _placing(observed)
        columns = [np.asarray(observed.coords[name].values, dtype=np.float64) for name in names]
        places = np.stack(columns, axis=1) if columns else np.empty((len(values), 0))
        return cls(values[there], errors[there], members[:, there], places[there], names)


def _errors(observed: xr.DataArray, error: float | xr.DataArray | None) -> Array:
    told = observed.coords["standard_error"] if error is None and "standard_error" in observed.coords else error
    if told is None:
        hint = "Give error, or a coordinate 'standard_error' of the observations."
        raise InvalidInput("The observations' standard error is not known.", hint=hint)
    found = np.broadcast_to(np.asarray(getattr(told, "values", told), dtype=np.float64), observed.shape)
    used = found[np.isfinite(np.asarray(observed.values, dtype=np.float64))]
    if not (np.isfinite(used) & (used > 0)).all():
        raise InvalidInput("A standard error is not a positive number.", error=float(np.min(used)))
    return np.array(found)


def _placing(observed: xr.DataArray) -> tuple[str, ...]:
    """Return the names of the numeric coordinates along the observations, which tell where they lie."""
    (dim,) = observed.dims
    return tuple(
        str(name)
        for name, item in observed.coords.items()
        if item.dims == (dim,) and name not in (dim, "standard_error") and item.dtype.kind in "fiu"
    )
