"""Run parameters of Hybrid Monte Carlo, proposed from stored configurations, and the grid search to compare with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gemel.base.errors import InvalidInput
from gemel.core.graph import Bounds, Field, Unit, process, progress
from gemel.thematic.lattice._autocorrelation import gamma_method
from gemel.thematic.lattice._configurations import Ensemble
from gemel.thematic.lattice._hmc import (
    INTEGRATORS,
    MINIMUM_NORM,
    Action,
    ChainState,
    Measure,
    Recipe,
    hamiltonian,
    sample,
)
from gemel.thematic.lattice._phi4 import Phi4, phi4_observables
from gemel.thematic.lattice._u1 import U1, u1_observables

Array = NDArray[np.float64]
#: Kicks and drifts of a step in units of its size; the kick that began the step ends it.
_SPLIT = {"leapfrog": ((0.5, 1.0),), "omelyan": ((MINIMUM_NORM, 0.5), (1.0 - 2.0 * MINIMUM_NORM, 0.5))}
_FEWEST, _PILOTS = 16, 8  # stored configurations, and those that pilots start from
_LADDER = (0.7, 0.84, 1.0, 1.2)
_AIM = 0.3  # <Delta H> of an acceptance of 0.70, the middle of the ladder
_KEPT, _LEAST = (4, 2, 1), 4  # settings that outlive each round, and the fewest starts of one in a round
_BLOCKS = 20  # of the jackknife
_CHAINS = _SHORTEST = 8  # pilot chains of a point of the grid, and the fewest trajectories of each
_PARTS = ("first", "value", "delta")
#: Lengths and step sizes of the grid that `grid_search` tries by default.
GRID = ((0.5, 1.0, 2.0, 4.0), (0.1, 0.15, 0.2, 0.3))


@dataclass(frozen=True)
class HmcSearch:
    """What is looked for, and where.

    Attributes:
        observable: Name, in what `measure` returns, of the observable that is to have many independent samples.
        longest: Longest molecular-dynamics time of a trajectory that is looked at.
        integrators: Which of `INTEGRATORS` to choose from.
        jitter: Of the step size, as in `Recipe`.
        seed: Seed of all chance.
    """

    observable: str
    longest: float = 4.0
    integrators: tuple[str, ...] = INTEGRATORS
    jitter: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a search that has nothing to find."""
        if not self.integrators or self.seed < 0:
            raise InvalidInput("A search needs an integrator or more, and a seed of 0 or more.")
        for integrator in self.integrators:
            Recipe(self.longest, integrator, jitter=self.jitter)


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
        return _cost(self.integrator, self.steps)

    def recipe(self) -> Recipe:
        """Return the recipe of such trajectories; the step size goes into `ChainState`."""
        return Recipe(self.length, self.integrator, jitter=self.jitter)


def gaussian_acceptance(mean_delta: ArrayLike) -> Array:
    """Return erfc(sqrt(<Delta H>) / 2), the acceptance where Delta H is Gaussian.

    Gupta, Irbaeck, Karsch, Petersson 1990 (Phys. Lett. B 242, 437): <exp(-Delta H)> = 1 (Creutz 1988, Phys. Rev. D 38,
    1228) gives a Gaussian Delta H the variance 2 <Delta H>. With a steep action on a small lattice a few trajectories
    near the edge of stability carry the mean, and the formula is far too low.

    >>> gaussian_acceptance([0.0, 0.3]).round(3).tolist()
    [1.0, 0.699]
    """
    return np.asarray(special.erfc(0.5 * np.sqrt(np.maximum(mean_delta, 0.0))))


def independent_share(first: ArrayLike, second: ArrayLike) -> Array:
    """Return 1/(2 tau) of a reversible chain from its autocorrelations at lags one and two, (1 - r2) / (1 + r1)^2.

    An upper bound, attained where one eigenfunction makes up the observable: 2 tau is the mean of (1 + x) / (1 - x) over
    the spectrum in [-1, 1] whose moments r1 and r2 are, and the Gauss-Radau rule with its node at -1 lies below it (Golub
    & Meurant 2010, section 6.2). No more than 1: anticorrelation is not counted upon.

    >>> independent_share(0.5, 0.25).round(6).tolist() == round(0.5 / 1.5, 6)
    True
    """
    r1 = np.clip(first, -0.999, 1.0)
    r2 = np.clip(second, r1**2, 1.0)
    return np.asarray(np.minimum((1.0 - r2) / (1.0 + r1) ** 2, 1.0))


@dataclass
class _Task:
    """The target with its stored configurations, the purse, and the source of chance."""

    theory: Action
    field: Array
    observe: Callable[[Array], Array]
    search: HmcSearch
    budget: int
    rng: np.random.Generator
    spent: int = 0
    order: NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def starts(self, count: int) -> Array:
        """Return that many stored configurations, all of them once before any comes again."""
        while len(self.order) < count:
            self.order = np.concatenate([self.order, self.rng.permutation(len(self.field))])
        chosen, self.order = self.order[:count], self.order[count:]
        return np.asarray(self.field[chosen])

    def pay(self, price: int) -> None:
        """Take evaluations of the force from the budget, or refuse before they are made."""
        if self.spent + price > self.budget:
            message = f"A budget of {self.budget} evaluations of the force is too small."
            hint = f"Give {2 * (self.spent + price)} or more, look at shorter trajectories, or name one integrator."
            raise InvalidInput(message, hint=hint)
        self.spent += price


@dataclass(frozen=True)
class _Setting:
    """An integrator and step size with the pairs of trajectories from common starts that were made with them.

    Attributes:
        first: Observable at the start (start,).
        value: Observable (pair member, step, start), from the start on to as many steps as are looked at.
        delta: Delta H, likewise.
    """

    integrator: str
    step: float
    steps: int
    first: Array = dataclasses.field(default_factory=lambda: np.zeros(0))
    value: Array = dataclasses.field(default_factory=lambda: np.zeros(0))
    delta: Array = dataclasses.field(default_factory=lambda: np.zeros(0))

    def only(self, which: NDArray[np.bool_]) -> _Setting:
        """Return the setting with some of its starts."""
        parts = {name: getattr(self, name)[..., which] for name in _PARTS}
        return dataclasses.replace(self, **parts)

    def upto(self, steps: int) -> _Setting:
        """Return the setting with no more than so many steps."""
        most = min(self.steps, steps)
        value, delta = self.value[:, : most + 1], self.delta[:, : most + 1]
        return dataclasses.replace(self, steps=most, value=value, delta=delta)


def _cost(integrator: str, steps: int) -> int:
    return len(_SPLIT[integrator]) * steps + 1


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
    task = _task(theory, configurations, budget, measure, search)
    settings = [item for name in search.integrators for item in _ladder(task, name)]
    told: dict[str, Any] = {"rounds": []}
    for k, kept in enumerate(_KEPT):
        purse = (task.budget - task.spent) // ((len(_KEPT) - k) * len(settings))
        settings = [_measured(task, item, purse // (2 * _cost(item.integrator, item.steps))) for item in settings]
        settings.sort(key=lambda item: -float(_efficiency(item).max()))
        told["rounds"].append([_told(item) for item in settings])
        told.setdefault("powers", _powers(settings))
        settings = [item.upto(best + best // 2 + 1) for item in settings[:kept] for best in [_best(item)]]
        progress((k + 1) / len(_KEPT), f"{task.spent} of {budget} evaluations of the force")
    return _concluded(task, settings[0], told)


def _task(theory: Action, configurations: Ensemble | Array, budget: int, measure: Measure, search: HmcSearch) -> _Task:
    given = configurations.field if isinstance(configurations, Ensemble) else np.asarray(configurations)
    if given.dtype.kind not in "fiu" or given.ndim < 2:
        raise InvalidInput(f"Configurations are real numbers (configuration, ...), not {given.dtype} {given.shape}.")
    field = given.astype(np.float64)
    if len(field) < _FEWEST:
        raise InvalidInput(f"{len(field)} configurations are too few.", hint=f"Give {_FEWEST} or more.")
    if not np.isfinite(field).all():
        bad = int(np.argmin(np.isfinite(field).reshape(len(field), -1).all(axis=1)))
        raise InvalidInput(f"Configuration {bad} holds numbers that are not finite.")
    found = measure(field)
    if search.observable not in found:
        hint = f"Take one of {', '.join(sorted(found))}."
        raise InvalidInput(f"No observable '{search.observable}' is measured.", hint=hint)
    values = np.asarray(found[search.observable], dtype=np.float64)
    if values.shape != (len(field),) or not np.var(values) > 1e-28 * max(1.0, float(np.mean(values**2))):
        message = f"The observable '{search.observable}' is not one number per configuration that varies between them."
        raise InvalidInput(message)
    rng = np.random.default_rng(search.seed)
    return _Task(theory, field, lambda x: np.asarray(measure(x)[search.observable]), search, budget, rng)


def _ladder(task: _Task, integrator: str) -> list[_Setting]:
    """Return settings around the step size where <Delta H> is `_AIM`, found from pilots by the step^4 law."""
    task.pay(_PILOTS)
    # In equilibrium <force^2> is the mean curvature of the action, so this is covariant under rescaled fields.
    curvature = float(np.mean(task.theory.force(task.starts(_PILOTS)) ** 2))
    if not curvature > 0.0:
        raise InvalidInput("The force vanishes on the configurations.", hint="A theory without forces needs no HMC.")
    step = min((curvature**2 * task.field[0].size) ** -0.25, task.search.longest)
    for _ in range(2):
        steps = max(1, round(0.25 * task.search.longest / step))
        delta = _measured(task, _Setting(integrator, step, steps), _PILOTS // 2).delta
        chance = _chance(delta[:, -(steps // 3 + 1) :]).mean()
        mean_delta = 4.0 * special.erfcinv(np.clip(chance, 1e-3, 1.0 - 1e-3)) ** 2
        step *= float(np.clip((_AIM / mean_delta) ** 0.25, 1.0 / 3.0, 3.0))
    step = min(step, task.search.longest)
    sizes = [min(step * factor, task.search.longest) for factor in _LADDER]
    return [_Setting(integrator, size, max(1, int(task.search.longest / size + 1e-9))) for size in sizes]


def _measured(task: _Task, setting: _Setting, starts: int) -> _Setting:
    """Return the setting with two trajectories more from each of some starts."""
    starts = max(starts, _LEAST)
    task.pay(2 * starts * _cost(setting.integrator, setting.steps))
    field = task.starts(starts)
    both = [_path(task, field, setting) for _ in range(2)]
    value, delta = (np.stack(part) for part in zip(*both, strict=True))
    new = {"first": value[0, 0], "value": value, "delta": delta}
    if len(setting.first):
        new = {name: np.concatenate([getattr(setting, name), part], axis=-1) for name, part in new.items()}
    return dataclasses.replace(setting, **new)


def _path(task: _Task, field: Array, setting: _Setting) -> tuple[Array, Array]:
    """Return the observable and Delta H (step, start) after every step, from the start on."""
    theory, split = task.theory, _SPLIT[setting.integrator]
    x, p = field.copy(), task.rng.standard_normal(field.shape)
    draw = 2.0 * task.rng.random(len(field)) - 1.0
    step = (setting.step * (1.0 + task.search.jitter * draw)).reshape(-1, *[1] * (field.ndim - 1))
    values, energies, force = [task.observe(x)], [hamiltonian(theory, x, p)], theory.force(x)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(setting.steps):
            for kick, drift in split:
                p += kick * step * force
                x += drift * step * p
                force = theory.force(x)
            p += split[0][0] * step * force
            values.append(task.observe(x))
            energies.append(hamiltonian(theory, x, p))
        value, delta = np.array(values), np.array(energies) - energies[0]
    lost = ~(np.isfinite(delta) & np.isfinite(value))
    return np.where(lost, values[0], value), np.where(lost, np.inf, delta)


def _best(setting: _Setting) -> int:
    return int(np.argmax(_efficiency(setting))) + 1


def _efficiency(setting: _Setting) -> Array:
    """Return independent samples per evaluation of the force (step,) for every length from one step on."""
    cost = [_cost(setting.integrator, steps) for steps in range(1, setting.steps + 1)]
    return np.asarray(independent_share(*_correlations(setting)) / cost)


def _chance(delta: Array) -> Array:
    return np.asarray(np.exp(-np.maximum(delta, 0.0)))


def _correlations(setting: _Setting) -> tuple[Array, Array]:
    """Return the chain's autocorrelation at lags one and two (step,) for every length from one step on.

    Mean and variance are those of both ends of the same trajectories: their noise cancels against that of the jumps.
    """
    chance, first, value = _chance(setting.delta[:, 1:]), setting.first, setting.value[:, 1:]
    jump = chance * (value - first)
    mean = (first + 0.5 * jump).mean(axis=(0, 2), keepdims=True)
    start, end = first - mean, value - mean
    variance = (start**2 + 0.5 * chance * (end**2 - start**2)).mean(axis=(0, 2))
    r1 = 1.0 - 0.5 * (jump * (value - first)).mean(axis=(0, 2)) / variance
    return r1, np.prod(start + jump, axis=0).mean(axis=1) / variance


def _told(setting: _Setting) -> dict[str, Any]:
    """Return what is known of a setting at its best length, as JSON values."""
    best = _best(setting)
    delta = setting.delta[:, best]
    mean = float(delta.mean())
    return {
        "integrator": setting.integrator,
        "step": setting.step,
        "steps": best,
        "pairs": len(setting.first),
        "acceptance": float(_chance(delta).mean()),
        "mean_delta_h": mean if np.isfinite(mean) else None,
        "gaussian_acceptance": float(gaussian_acceptance(mean)),
        "efficiency": float(_efficiency(setting)[best - 1]),
    }


def _powers(settings: Sequence[_Setting]) -> dict[str, float]:
    """Return by integrator the power of the step that <Delta H> grows with, at half the longest length; 4 in theory."""
    found = {}
    for name in {item.integrator for item in settings}:
        same = [item for item in settings if item.integrator == name]
        chance = [_chance(item.delta[:, (item.steps + 1) // 2 :]).mean() for item in same]
        mean_delta = special.erfcinv(np.clip(chance, 1e-6, 1.0 - 1e-6)) ** 2
        steps = np.log([item.step for item in same])
        if np.ptp(steps) > 0.0:
            found[name] = float(np.polyfit(steps, np.log(mean_delta), 1)[0])
    return found


def _concluded(task: _Task, setting: _Setting, told: dict[str, Any]) -> Advice:
    last = told["rounds"][-1][0]
    steps, search = int(last["steps"]), task.search
    change = (_chance(setting.delta[:, steps]) * (setting.value[:, steps] - setting.first)).mean(axis=0)
    # Starts that came again are not independent ones.
    count = min(len(change), len(task.field))
    told["equilibrium"] = float(change.mean() / (change.std(ddof=1) / np.sqrt(count) + 1e-300))
    told["efficiency_error"] = _jackknifed(setting, steps)
    told["at_longest"] = bool((steps + 1) * setting.step > search.longest)
    where = (steps * setting.step, steps, setting.step, setting.integrator)
    return Advice(*where, last["acceptance"], last["efficiency"], task.spent, search.observable, search.jitter, told)


def _jackknifed(setting: _Setting, steps: int) -> float:
    blocks = np.arange(len(setting.first)) % min(_BLOCKS, len(setting.first))
    each = [_efficiency(setting.only(blocks != k))[steps - 1] for k in range(blocks.max() + 1)]
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
    task = _task(theory, configurations, budget, measure, search)
    points = [(name, t, h) for name in search.integrators for t in grid[0] for h in grid[1] if h <= t]
    found = [_point(task, point, budget // len(points), measure) for point in points]
    best = max(found, key=lambda advice: advice.efficiency)
    names = ("integrator", "length", "step", "acceptance", "efficiency")
    tried = [{name: getattr(item, name) for name in names} for item in found]
    return dataclasses.replace(best, spent=task.spent, evidence={"grid": tried})


def _point(task: _Task, point: tuple[str, float, float], purse: int, measure: Measure) -> Advice:
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
