"""Pairs of trajectories from stored configurations, and what they tell of every trajectory length at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gemel.base.errors import InvalidInput
from gemel.thematic.lattice._configurations import Ensemble
from gemel.thematic.lattice._hmc import INTEGRATORS, MINIMUM_NORM, Action, Measure, Recipe, hamiltonian

Array = NDArray[np.float64]
#: Kicks and drifts of a step in units of its size; the kick that began the step ends it.
_SPLIT = {"leapfrog": ((0.5, 1.0),), "omelyan": ((MINIMUM_NORM, 0.5), (1.0 - 2.0 * MINIMUM_NORM, 0.5))}
_FEWEST, _PILOTS = 16, 8  # stored configurations, and those that pilots start from
_LADDER = (0.7, 0.84, 1.0, 1.2)
_AIM = 0.3  # <Delta H> of an acceptance of 0.70, the middle of the ladder
_PARTS = ("first", "value", "delta")
_LEAST = 4  # starts of a setting in a round


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
class Task:
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
class Setting:
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

    def only(self, which: NDArray[np.bool_]) -> Setting:
        """Return the setting with some of its starts."""
        parts = {name: getattr(self, name)[..., which] for name in _PARTS}
        return dataclasses.replace(self, **parts)

    def upto(self, steps: int) -> Setting:
        """Return the setting with no more than so many steps."""
        most = min(self.steps, steps)
        value, delta = self.value[:, : most + 1], self.delta[:, : most + 1]
        return dataclasses.replace(self, steps=most, value=value, delta=delta)


def trajectory_cost(integrator: str, steps: int) -> int:
    """Return the evaluations of the force in one trajectory."""
    return len(_SPLIT[integrator]) * steps + 1


def search_task(
    theory: Action, configurations: Ensemble | Array, budget: int, measure: Measure, search: HmcSearch
) -> Task:
    """Return the task that an observable, its configurations and the budget make, or name what is wrong with them."""
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
    return Task(theory, field, lambda x: np.asarray(measure(x)[search.observable]), search, budget, rng)


def step_ladder(task: Task, integrator: str) -> list[Setting]:
    """Return settings around the step size where <Delta H> is `_AIM`, found from pilots by the step^4 law."""
    task.pay(_PILOTS)
    # In equilibrium <force^2> is the mean curvature of the action, so this is covariant under rescaled fields.
    curvature = float(np.mean(task.theory.force(task.starts(_PILOTS)) ** 2))
    if not curvature > 0.0:
        raise InvalidInput("The force vanishes on the configurations.", hint="A theory without forces needs no HMC.")
    step = min((curvature**2 * task.field[0].size) ** -0.25, task.search.longest)
    for _ in range(2):
        steps = max(1, round(0.25 * task.search.longest / step))
        delta = with_pairs(task, Setting(integrator, step, steps), _PILOTS // 2).delta
        chance = acceptance_of(delta[:, -(steps // 3 + 1) :]).mean()
        mean_delta = 4.0 * special.erfcinv(np.clip(chance, 1e-3, 1.0 - 1e-3)) ** 2
        step *= float(np.clip((_AIM / mean_delta) ** 0.25, 1.0 / 3.0, 3.0))
    step = min(step, task.search.longest)
    sizes = [min(step * factor, task.search.longest) for factor in _LADDER]
    return [Setting(integrator, size, max(1, int(task.search.longest / size + 1e-9))) for size in sizes]


def with_pairs(task: Task, setting: Setting, starts: int) -> Setting:
    """Return the setting with two trajectories more from each of some starts."""
    starts = max(starts, _LEAST)
    task.pay(2 * starts * trajectory_cost(setting.integrator, setting.steps))
    field = task.starts(starts)
    both = [_path(task, field, setting) for _ in range(2)]
    value, delta = (np.stack(part) for part in zip(*both, strict=True))
    new = {"first": value[0, 0], "value": value, "delta": delta}
    if len(setting.first):
        new = {name: np.concatenate([getattr(setting, name), part], axis=-1) for name, part in new.items()}
    return dataclasses.replace(setting, **new)


def _path(task: Task, field: Array, setting: Setting) -> tuple[Array, Array]:
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


def best_length(setting: Setting) -> int:
    """Return the steps of the most efficient length."""
    return int(np.argmax(efficiency_by_length(setting))) + 1


def efficiency_by_length(setting: Setting) -> Array:
    """Return independent samples per evaluation of the force (step,) for every length from one step on."""
    cost = [trajectory_cost(setting.integrator, steps) for steps in range(1, setting.steps + 1)]
    return np.asarray(independent_share(*correlations(setting)) / cost)


def acceptance_of(delta: Array) -> Array:
    """Return min(1, exp(-Delta H))."""
    return np.asarray(np.exp(-np.maximum(delta, 0.0)))


def correlations(setting: Setting) -> tuple[Array, Array]:
    """Return the chain's autocorrelation at lags one and two (step,) for every length from one step on.

    Mean and variance are those of both ends of the same trajectories: their noise cancels against that of the jumps.
    """
    chance, first, value = acceptance_of(setting.delta[:, 1:]), setting.first, setting.value[:, 1:]
    jump = chance * (value - first)
    mean = (first + 0.5 * jump).mean(axis=(0, 2), keepdims=True)
    start, end = first - mean, value - mean
    variance = (start**2 + 0.5 * chance * (end**2 - start**2)).mean(axis=(0, 2))
    r1 = 1.0 - 0.5 * (jump * (value - first)).mean(axis=(0, 2)) / variance
    return r1, np.prod(start + jump, axis=0).mean(axis=1) / variance
