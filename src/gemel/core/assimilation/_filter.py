"""A filter that keeps an ensemble in step with observations, and says how far off the ensemble was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.core.assimilation._ensemble import MEMBERS, Ensemble, Observed
from gemel.core.assimilation._localisation import Reach
from gemel.core.assimilation._stochastic import perturbed
from gemel.core.assimilation._transform import transformed

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Analysis:
    """What an observation made of an ensemble.

    Attributes:
        values: Members after the analysis, (member, element).
        innovation: Observed less the mean of what the members predicted, (observation,).
        expected: Standard deviation that the innovation should have, from the spread of the members and the error of
            the observation, (observation,).
    """

    values: Array
    innovation: Array
    expected: Array

    @property
    def surprise(self) -> Array:
        """Innovations in units of what was expected, (observation,).

        Their mean square over many analyses is 1 for a filter that knows its own error; less when its ensemble is too
        wide, more when it is too narrow (Houtekamer et al. 2005, doi 10.1175/MWR-2864.1, section 5).
        """
        return self.innovation / self.expected


@dataclass(frozen=True)
class EnsembleFilter:
    """An ensemble Kalman filter with its settings, for a model that steps on its own.

    Attributes:
        method: `transform` (ETKF; LETKF with a reach), or `perturbed` observations.
        inflation: Factor on the spread before each analysis.
        reach: How far observations reach; default everywhere.
    """

    method: Literal["transform", "perturbed"] = "transform"
    inflation: float = 1.0
    reach: Reach | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.method not in ("transform", "perturbed"):
            raise InvalidInput(f"There is no filter '{self.method}'.", hint="transform or perturbed")
        if not 0.5 <= self.inflation <= 10:
            hint = "A factor on the spread, such as 1.05."
            raise InvalidInput(f"An inflation of {self.inflation} cannot be meant.", hint=hint)

    def analysed(self, ensemble: Ensemble, observed: Observed, *, seed: int | Sequence[int] = 0) -> Analysis:
        """Return the ensemble after observations, and how far it was from them.

        Args:
            ensemble: Before the analysis.
            observed: With what each member predicts.
            seed: Of perturbed observations; anything that `numpy.random.default_rng` takes.
        """
        before = Ensemble(self._inflated(ensemble.values), ensemble.cube)
        seen = Observed(
            observed.values, observed.errors, self._inflated(observed.predicted), observed.places, observed.coordinates
        )
        if self.method == "transform":
            values = transformed(before, seen, reach=self.reach)
        else:
            values = perturbed(before, seen, seed=seed, reach=self.reach)
        expected = np.sqrt(seen.predicted.var(axis=0, ddof=1) + seen.errors**2)
        return Analysis(values, seen.values - seen.predicted.mean(axis=0), expected)

    def corrected(
        self, values: Array, predicted: Array, observed: Array, errors: Array, *, seed: int | Sequence[int] = 0
    ) -> Analysis:
        """Return the same for plain matrices, for a model that keeps its states as one; no observation has a place.

        Args:
            values: (member, element).
            predicted: What each member predicts of the observations, (member, observation).
            observed: (observation,); NaN for what was not observed.
            errors: Standard errors of the observations, (observation,), in their unit, positive.
            seed: Of perturbed observations.

        >>> members = np.array([[0.0], [2.0]])
        >>> after = EnsembleFilter().corrected(members, members, np.array([2.0]), np.array([2.0**0.5]))
        >>> after.values.ravel().round(3).tolist(), after.innovation.tolist(), after.expected.tolist()
        ([0.793, 2.207], [1.0], [2.0])
        """
        there = np.isfinite(observed)
        nowhere = np.empty((int(there.sum()), 0))
        seen = Observed(observed[there], errors[there], predicted[:, there], nowhere, ())
        return self.analysed(Ensemble(values, xr.DataArray(values, dims=(MEMBERS, "element"))), seen, seed=seed)

    def _inflated(self, values: Array) -> Array:
        if self.inflation == 1.0:
            return values
        mean = values.mean(axis=0)
        return np.asarray(mean + self.inflation * (values - mean))
