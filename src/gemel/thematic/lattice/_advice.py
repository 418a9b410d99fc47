"""Run parameters of Hybrid Monte Carlo, proposed from stored configurations, and the grid search to compare with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gemel.base.errors import InvalidInput
from gemel.core.graph import Bounds, Field, Unit, process, progress
from gemel.thematic.lattice._advice_paths import (
    HmcSearch,
    Setting,
    Task,
    acceptance_of,
    best_length,
    efficiency_by_length,
    gaussian_acceptance,
    search_task,
    step_ladder,
    trajectory_cost,
    with_pairs,
)
from gemel.thematic.lattice._autocorrelation import gamma_method
from gemel.thematic.lattice._configurations import Ensemble
from gemel.thematic.lattice._hmc import Action, ChainState, Measure, Recipe, sample
from gemel.thematic.lattice._phi4 import Phi4, phi4_observables
from gemel.thematic.lattice._u1 import U1, u1_observables

Array = NDArray[np.float64]
_KEPT = (4, 2, 1)  # settings that outlive each round
_BLOCKS = 20  # of the jackknife
_CHAINS = _SHORTEST = 8  # pilot chains of a point of the grid, and the fewest trajectories of each
#: Lengths and step sizes of the grid that `grid_search` tries by default.
GRID = ((0.5, 1.0, 2.0, 4.0), (0.1, 0.15, 0.2, 0.3))


@dataclass(frozen=True)
class Advice:
    """Proposed run parameters; costs are evaluations of the force of one configuration, never seconds.

    Attributes:
        length: Molecular-dynamics time of a trajectory, `steps` times `step`.
        steps: Integration steps of a trajectory.
        step: Step size, before its jitter.
        integrator: One of `INTEGRATORS`.
        acceptance: Predicted.
        efficiency: Predicted independent samples of the observable per evaluation of the force, 1/(2 tau) / cost. From
            `advise` it counts anticorrelated samples as independent ones, and errs to the high side.
        spent: Evaluations of the force that the advice took.
        observable: What the efficiency is of.
        jitter: Of the step size.
        evidence: How it was found, JSON values: the settings tried and what each gave.
    """

    length: float
    steps: int
    step: float
    integrator: str
    acceptance: float
    efficiency: float
    spent: int
    observable: str
    jitter: float
    evidence: Mapping[str, Any]

    @property
    def cost(self) -> int:
        """Evaluations of the force in one trajectory: a step one (`leapfrog`) or two (`omelyan`), and one more."""
        return trajectory_cost(self.integrator, self.steps)

    def recipe(self) -> Recipe:
        """Return the recipe of such trajectories; the step size goes into `ChainState`."""
        return Recipe(self.length, self.integrator, jitter=self.jitter)


def advise(
    theory: Action, configurations: Ensemble | Array, budget: int, measure: Measure, search: HmcSearch
) -> Advice:
    """Return length, step size and integrator for HMC with the most independent samples per evaluation of the force.

    Stored configurations are samples of the target, so every trajectory from one is a measurement in equilibrium, and
    a single integration tells of all its intermediate lengths. With a = min(1, exp(-Delta H)) the chain's autocorrelation
    at lag one is r1 = 1 - <a (f(T) - f(0))^2> / (2 var f) (the expected squared jump, Pasarica & Gelman 2010); a second
    trajectory from the same start gives lag two, r2 = cov(g, g') / var f with g = f(0) + a (f(T) - f(0)), as the chain
    is reversible. `independent_share` makes 1/(2 tau) of both. Pilots place four step sizes of each integrator by the
    law <Delta H> ~ step^4; three rounds share the budget, each going on with the best settings of the one before.

    Args:
        theory: Action and force.
        configurations: Of that theory in equilibrium, (configuration, ...), little correlated; 16 or more, better 100.
        budget: Evaluations of the force of one configuration that may be spent. Those of the action are not counted.
        measure: Observables of a field by name, first axis the configuration.
        search: What is looked for.

    Raises:
        InvalidInput: Too few configurations, numbers that are not finite or not real, a shape that the theory does not
            have, an observable that is absent or never varies, or a budget that is too small.
    """
    task = search_task(theory, configurations, budget, measure, search)
    settings = [item for name in search.integrators for item in step_ladder(task, name)]
    told: dict[str, Any] = {"rounds": []}
    for k, kept in enumerate(_KEPT):
        purse = (task.budget - task.spent) // ((len(_KEPT) - k) * len(settings))
        settings = [
            with_pairs(task, item, purse // (2 * trajectory_cost(item.integrator, item.steps))) for item in settings
        ]
        settings.sort(key=lambda item: -float(efficiency_by_length(item).max()))
        told["rounds"].append([_told(item) for item in settings])
        told.setdefault("powers", _powers(settings))
        settings = [item.upto(best + best // 2 + 1) for item in settings[:kept] for best in [best_length(item)]]
        progress((k + 1) / len(_KEPT), f"{task.spent} of {budget} evaluations of the force")
    return _concluded(task, settings[0], told)


def _told(setting: Setting) -> dict[str, Any]:
    """Return what is known of a setting at its best length, as JSON values."""
    best = best_length(setting)
    delta = setting.delta[:, best]
    mean = float(delta.mean())
    return {
        "integrator": setting.integrator,
        "step": setting.step,
        "steps": best,
        "pairs": len(setting.first),
        "acceptance": float(acceptance_of(delta).mean()),
        "mean_delta_h": mean if np.isfinite(mean) else None,
        "gaussian_acceptance": float(gaussian_acceptance(mean)),
        "efficiency": float(efficiency_by_length(setting)[best - 1]),
    }


def _powers(settings: Sequence[Setting]) -> dict[str, float]:
    """Return by integrator the power of the step that <Delta H> grows with, at half the longest length; 4 in theory."""
    found = {}
    for name in {item.integrator for item in settings}:
        same = [item for item in settings if item.integrator == name]
        chance = [acceptance_of(item.delta[:, (item.steps + 1) // 2 :]).mean() for item in same]
        mean_delta = special.erfcinv(np.clip(chance, 1e-6, 1.0 - 1e-6)) ** 2
        steps = np.log([item.step for item in same])
        if np.ptp(steps) > 0.0:
            found[name] = float(np.polyfit(steps, np.log(mean_delta), 1)[0])
    return found


def _concluded(task: Task, setting: Setting, told: dict[str, Any]) -> Advice:
    last = told["rounds"][-1][0]
    steps, search = int(last["steps"]), task.search
    change = (acceptance_of(setting.delta[:, steps]) * (setting.value[:, steps] - setting.first)).mean(axis=0)
    # Starts that came again are not independent ones.
    count = min(len(change), len(task.field))
    told["equilibrium"] = float(change.mean() / (change.std(ddof=1) / np.sqrt(count) + 1e-300))
    told["efficiency_error"] = _jackknifed(setting, steps)
    told["at_longest"] = bool((steps + 1) * setting.step > search.longest)
    where = (steps * setting.step, steps, setting.step, setting.integrator)
    return Advice(*where, last["acceptance"], last["efficiency"], task.spent, search.observable, search.jitter, told)


def _jackknifed(setting: Setting, steps: int) -> float:
    blocks = np.arange(len(setting.first)) % min(_BLOCKS, len(setting.first))
    each = [efficiency_by_length(setting.only(blocks != k))[steps - 1] for k in range(blocks.max() + 1)]
    return float(np.std(each) * np.sqrt(len(each) - 1))


def grid_search(
    theory: Action,
    configurations: Ensemble | Array,
    budget: int,
    measure: Measure,
    search: HmcSearch,
    grid: tuple[Sequence[float], Sequence[float]] = GRID,
) -> Advice:
    """Return the best point of a grid by pilot chains that share the budget evenly: the usual way, to compare with.

    Every point has as long chains as its share pays, at most 8 of them and of 8 trajectories at least, from stored
    configurations; its efficiency is 1/(2 tau) per evaluation of the force with tau from `gamma_method`.

    Args:
        theory: Action and force.
        configurations: As in `advise`.
        budget: Evaluations of the force.
        measure: Observables of a field by name.
        search: As in `advise`; the lengths are the grid's.
        grid: Lengths and step sizes; every integrator of the search is tried at each.

    Raises:
        InvalidInput: As `advise`.
    """
    task = search_task(theory, configurations, budget, measure, search)
    points = [(name, t, h) for name in search.integrators for t in grid[0] for h in grid[1] if h <= t]
    found = [_point(task, point, budget // len(points), measure) for point in points]
    best = max(found, key=lambda advice: advice.efficiency)
    names = ("integrator", "length", "step", "acceptance", "efficiency")
    tried = [{name: getattr(item, name) for name in names} for item in found]
    return dataclasses.replace(best, spent=task.spent, evidence={"grid": tried})


def _point(task: Task, point: tuple[str, float, float], purse: int, measure: Measure) -> Advice:
    (integrator, length, size), search = point, task.search
    steps = max(1, round(length / size))
    trial = Advice(length, steps, length / steps, integrator, 0.0, 0.0, 0, search.observable, search.jitter, {})
    trajectories = max(purse // trial.cost, _SHORTEST)
    chains = max(1, min(_CHAINS, trajectories // _SHORTEST))
    task.pay(chains * (trajectories // chains) * trial.cost)
    seed = int(task.rng.integers(2**31))
    return measured_advice(task.theory, task.starts(chains), trial, trajectories // chains, measure, seed)


def measured_advice(
    theory: Action, starts: Array, advice: Advice, draws: int, measure: Measure, seed: int = 0
) -> Advice:
    """Return the advice with acceptance and efficiency as chains of these parameters measure them.

    Args:
        theory: Action and force.
        starts: Equilibrium configurations, one a chain.
        advice: Parameters to run with.
        draws: Trajectories of each chain.
        measure: Observables of a field by name.
        seed: Seed of the chains.

    Returns:
        `spent` is what the chains cost, and `evidence` holds `tau` and `tau_error` in trajectories; tau is infinite
        where the observable never changed.
    """
    state = ChainState.fresh(starts, seed, step=advice.step)
    with np.errstate(invalid="ignore"):
        series, _ = sample(theory, state, draws, measure, advice.recipe())
    values, tau, error = series[advice.observable], np.inf, np.inf
    if np.ptp(values, axis=1).max() > 0.0:
        found = gamma_method(values)
        tau, error = found.tau, found.tau_error
    return dataclasses.replace(
        advice,
        acceptance=float(series["accepted"].mean()),
        efficiency=0.5 / tau / advice.cost,
        spent=len(starts) * draws * advice.cost,
        evidence={"tau": tau, "tau_error": error},
    )


@process(categories=("lattice", "statistics"))
def advise_hmc(
    theory: dict[str, Any],
    configurations: Annotated[Field, Unit("1")],
    budget: Annotated[int, Bounds(1, None)] = 100_000,
    observable: str | None = None,
    longest: Annotated[float, Bounds(1e-6, 1e6)] = 4.0,
    seed: Annotated[int, Bounds(0, None)] = 0,
) -> dict[str, Any]:
    """Run parameters of Hybrid Monte Carlo with the most independent samples per force, from stored configurations.

    Trajectories from the configurations, which are in equilibrium already, tell acceptance and autocorrelation at all
    lengths at once; see `advise`.

    Args:
        theory: `{"theory": "phi4", "mass_squared": ..., "coupling": ...}` or `{"theory": "u1", "beta": ...}`.
        configurations: In equilibrium, first dimension the configuration.
        budget: Evaluations of the force of one configuration that may be spent.
        observable: By default `magnetisation_squared` of phi4 and `plaquette` of u1.
        longest: Longest molecular-dynamics time of a trajectory that is looked at.
        seed: Seed of all chance.

    Returns:
        `length`, `steps`, `step`, `integrator`, predicted `acceptance` and `efficiency`, `spent`, `observable`,
        `jitter`, `cost` of a trajectory, and `evidence`.
    """
    target, measure, usual = _target(theory)
    search = HmcSearch(observable or usual, longest, seed=seed)
    advice = advise(target, np.asarray(configurations), budget, measure, search)
    return {**vars(advice), "evidence": dict(advice.evidence), "cost": advice.cost}


def _target(told: Mapping[str, Any]) -> tuple[Action, Measure, str]:
    kinds: dict[str, tuple[Callable[..., Action], tuple[str, ...], Measure, str]] = {
        "phi4": (Phi4, ("mass_squared", "coupling"), phi4_observables, "magnetisation_squared"),
        "u1": (U1, ("beta",), u1_observables, "plaquette"),
    }
    name = str(told.get("theory"))
    if name not in kinds:
        raise InvalidInput(f"No theory '{name}'.", hint=f"Take one of {', '.join(kinds)}.")
    make, couplings, measure, usual = kinds[name]
    if set(told) != {"theory", *couplings} or not all(isinstance(told[key], int | float) for key in couplings):
        raise InvalidInput(f"The theory '{name}' needs the numbers {', '.join(couplings)}, and nothing else.")
    return make(*(float(told[key]) for key in couplings)), measure, usual
