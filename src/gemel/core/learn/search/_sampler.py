"""The sampler: Optuna's, but seeded for every trial anew, so that an interrupted search goes on with the same draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from gemel.base.errors import InvalidInput

SAMPLERS = ("tpe", "gp", "random")
FAILURE = "error"  # user attribute of a trial that came to no score


class Seeded(BaseSampler):
    """A sampler whose draws for a trial depend on the seed, how many trials came before, and what these found.

    Attributes:
        index: How many trials came before the next one; those that died with their process do not count.
    """

    def __init__(self, name: str, seed: int) -> None:
        if name not in SAMPLERS:
            raise InvalidInput(f"No sampler '{name}'.", hint=f"Take one of {', '.join(SAMPLERS)}.")
        self._name, self._seed, self.index = name, seed, 0
        self._now: BaseSampler = RandomSampler(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin anew for this trial."""
        seed = (self._seed * 1_000_003 + self.index) % 2**32
        self._now = _sampler(self._name, seed)
        self._now.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what is drawn together."""
        return self._now.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what was drawn together."""
        return self._now.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return what is drawn alone."""
        return self._now.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Take up how a trial ended."""
        self._now.after_trial(study, trial, state, values)


def _sampler(name: str, seed: int) -> BaseSampler:
    if name == "tpe":
        return TPESampler(seed=seed)
    return GPSampler(seed=seed) if name == "gp" else RandomSampler(seed)


def died(trial: FrozenTrial) -> bool:
    """Return whether a trial ended with its process, so that it does not count."""
    return trial.state == TrialState.FAIL and FAILURE not in trial.user_attrs
