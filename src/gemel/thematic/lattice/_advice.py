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
_KICKS = {"leapfrog": 1, "omelyan": 2}
_FEWEST = 16  # configurations
_PILOTS = 8
_LADDER = (0.7, 0.84, 1.0, 1.2)
_AIM = 0.3  # <Delta H> of an acceptance of 0.70, the middle of the ladder
_KEPT = (4, 2, 1)  # settings that outlive each round
_LEAST = 4  # starts of a setting in a round
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
        """Evaluations of the force in one trajectory."""
        return trajectory_cost(self.integrator, self.steps)

    def recipe(self) -> Recipe:
        """Return the recipe of such trajectories; the step size goes into `ChainState`."""
        return Recipe(self.length, self.integrator, jitter=self.jitter)


def trajectory_cost(integrator: str, steps: int) -> int:
    """Return the evaluations of the force in one trajectory: one a step for `leapfrog`, two for `omelyan`, plus one.

    >>> trajectory_cost("leapfrog", 10), trajectory_cost("omelyan", 10)
    (11, 21)
    """
    return _KICKS[integrator] * steps + 1


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
    mean: float = 0.0
    variance: float = 0.0
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
class _Pairs:
    """Two trajectories each from common starts; arrays (pair member, step, start), and the observable at the start."""

    first: Array
    value: Array
    delta: Array

    def to(self, steps: int) -> _Pairs:
        return _Pairs(self.first, self.value[:, : steps + 1], self.delta[:, : steps + 1])

    def of(self, which: NDArray[np.bool_]) -> _Pairs:
        return _Pairs(self.first[which], self.value[..., which], self.delta[..., which])


@dataclass(frozen=True)
class _Setting:
    integrator: str
    step: float
    steps: int
    pairs: _Pairs | None = None


@dataclass(frozen=True)
class _Judged:
    """What a setting gives at every length, arrays (step,) from one step on."""

    acceptance: Array
    efficiency: Array

    @property
    def best(self) -> int:
        return int(np.argmax(self.efficiency)) + 1


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
    tried: list[dict[str, Any]] = []
    for k, kept in enumerate(_KEPT):
        share = (task.budget - task.spent) // (len(_KEPT) - k)
        settings = [_measured(task, item, share // len(settings)) for item in settings]
        ranked = sorted(settings, key=lambda item: -float(_judged(task, item.pairs).efficiency.max()))
        tried += [_told(task, item, k) for item in (ranked[kept:] if k + 1 < len(_KEPT) else ranked)]
        settings = [_trimmed(task, item) for item in ranked[:kept]]
        progress((k + 1) / len(_KEPT), f"{task.spent} of {budget} evaluations of the force")
    return _concluded(task, settings[0], tried)


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
    task = _Task(theory, field, lambda x: np.asarray(measure(x)[search.observable]), search, budget, rng)
    task.mean, task.variance = float(values.mean()), float(values.var(ddof=1))
    return task


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
        delta = _pairs(task, _Setting(integrator, step, steps), _PILOTS // 2).delta
        chance = _chance(delta[:, -(steps // 3 + 1) :]).mean()
        mean_delta = 4.0 * special.erfcinv(np.clip(chance, 1e-3, 1.0 - 1e-3)) ** 2
        step *= float(np.clip((_AIM / mean_delta) ** 0.25, 1.0 / 3.0, 3.0))
    step = min(step, task.search.longest)
    sizes = [min(step * factor, task.search.longest) for factor in _LADDER]
    return [_Setting(integrator, size, max(1, int(task.search.longest / size + 1e-9))) for size in sizes]


def _pairs(task: _Task, setting: _Setting, starts: int) -> _Pairs:
    task.pay(2 * starts * trajectory_cost(setting.integrator, setting.steps))
    field = task.starts(starts)
    both = [_path(task, field, setting) for _ in range(2)]
    value, delta = (np.stack(part) for part in zip(*both, strict=True))
    return _Pairs(value[0, 0], value, delta)


def _path(task: _Task, field: Array, setting: _Setting) -> tuple[Array, Array]:
    """Return the observable and Delta H (step, start) after every step from the start on."""
    x, p = field.copy(), task.rng.standard_normal(field.shape)
    draw = 2.0 * task.rng.random(len(field)) - 1.0
    step = (setting.step * (1.0 + task.search.jitter * draw)).reshape(-1, *[1] * (field.ndim - 1))
    values, energies = [task.observe(x)], [hamiltonian(task.theory, x, p)]
    force = task.theory.force(x)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(setting.steps):
            x, p, force = _STEPS[setting.integrator](task.theory, (x, p, force), step)
            values.append(task.observe(x))
            energies.append(hamiltonian(task.theory, x, p))
        delta = np.array(energies) - energies[0]
    value = np.array(values)
    lost = ~(np.isfinite(delta) & np.isfinite(value))
    return np.where(lost, values[0], value), np.where(lost, np.inf, delta)


_Point = tuple[Array, Array, Array]


def _leapfrog(theory: Action, point: _Point, step: Array) -> _Point:
    x, p, force = point
    p = p + 0.5 * step * force
    x = x + step * p
    force = theory.force(x)
    return x, p + 0.5 * step * force, force


def _omelyan(theory: Action, point: _Point, step: Array) -> _Point:
    x, p, force = point
    p = p + MINIMUM_NORM * step * force
    x = x + 0.5 * step * p
    p = p + (1.0 - 2.0 * MINIMUM_NORM) * step * theory.force(x)
    x = x + 0.5 * step * p
    force = theory.force(x)
    return x, p + MINIMUM_NORM * step * force, force


_STEPS: dict[str, Callable[[Action, _Point, Array], _Point]] = {"leapfrog": _leapfrog, "omelyan": _omelyan}


def _measured(task: _Task, setting: _Setting, purse: int) -> _Setting:
    starts = max(_LEAST, purse // (2 * trajectory_cost(setting.integrator, setting.steps)))
    new, old = _pairs(task, setting, starts), setting.pairs
    if old is not None:
        old = old.to(setting.steps)
        joined = (np.concatenate([getattr(old, n), getattr(new, n)], axis=-1) for n in ("first", "value", "delta"))
        new = _Pairs(*joined)
    return dataclasses.replace(setting, pairs=new)


def _trimmed(task: _Task, setting: _Setting) -> _Setting:
    """Return the setting for lengths up to half as long again as its best one."""
    best = _judged(task, setting.pairs).best
    return dataclasses.replace(setting, steps=min(setting.steps, best + max(1, best // 2)))


def _chance(delta: Array) -> Array:
    return np.asarray(np.exp(-np.maximum(delta, 0.0)))


def _correlations(task: _Task, pairs: _Pairs) -> tuple[Array, Array]:
    """Return the chain's autocorrelation at lags one and two (step,) for every length from one step on."""
    chance, jump = _chance(pairs.delta[:, 1:]), pairs.value[:, 1:] - pairs.first
    r1 = 1.0 - (chance * jump**2).mean(axis=(0, 2)) / (2.0 * task.variance)
    start = pairs.first - task.mean
    product = np.prod(start + chance * jump, axis=0)
    # The variance at the start is known from all configurations: a control variate.
    known = start**2 - task.variance
    spread = max(float(known.var()), 1e-300)
    slope = np.clip((product * (known - known.mean())).mean(axis=1) / spread, 0.0, 1.0)
    return r1, (product.mean(axis=1) - slope * known.mean()) / task.variance


def _judged(task: _Task, pairs: _Pairs | None, integrator: str = "") -> _Judged:
    raise NotImplementedError
