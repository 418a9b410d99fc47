"""Hybrid Monte Carlo (Duane, Kennedy, Pendleton, Roweth 1987) for any action with a force, on many chains at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.core.graph import progress

Array = NDArray[np.float64]
Measure = Callable[[Array], Mapping[str, Array]]
Update = Callable[[Array, np.random.Generator], Array]

#: Fraction of the step at which the minimum norm integrator first kicks (Omelyan, Mryglod, Folk 2003; Takaishi &
#: de Forcrand 2006, hep-lat/0505020).
MINIMUM_NORM = 0.1931833275037836
INTEGRATORS = ("leapfrog", "omelyan")
_MOST_STEPS = 1000
_TOLD = 200  # reports of progress in one call


class Action(Protocol):
    """What HMC needs of a theory: S (chain,) and -dS/dx, shaped as the field, whose first axis is the chain."""

    def action(self, field: Array, /) -> Array:
        """Return S of every configuration."""

    def force(self, field: Array, /) -> Array:
        """Return minus the derivative of S."""


@dataclass(frozen=True)
class Recipe:
    """How trajectories are made.

    Attributes:
        length: Molecular-dynamics time of a trajectory.
        integrator: `leapfrog` or `omelyan`; both second order, reversible and area preserving.
        target: Acceptance that the step size is tuned to in thermalisation; 0.8 to 0.9 suits `omelyan`.
        jitter: The step size of each trajectory is drawn within this fraction of its value, so that no mode of the field
            comes back to where it began every time. The draw knows nothing of the field: detailed balance holds.
    """

    length: float = 1.0
    integrator: str = "omelyan"
    target: float = 0.85
    jitter: float = 0.1

    def __post_init__(self) -> None:
        """Refuse recipes that no trajectory follows from."""
        if self.integrator not in INTEGRATORS:
            raise InvalidInput(f"No integrator '{self.integrator}'.", hint=f"Take one of {', '.join(INTEGRATORS)}.")
        if not (self.length > 0.0 and 0.0 < self.target < 1.0 and 0.0 <= self.jitter < 1.0):
            raise InvalidInput("A recipe needs length > 0, 0 < target < 1 and 0 <= jitter < 1.")


@dataclass(frozen=True)
class ChainState:
    """All that the next trajectory depends on; the same state gives the same chain ever after.

    Attributes:
        field: Configuration of every chain, first axis the chain.
        step: Step size.
        trajectories: How many were made so far.
        rng: State of the random generator, `numpy.random.Generator.bit_generator.state`.
    """

    field: Array
    step: float
    trajectories: int
    rng: dict[str, Any]

    @classmethod
    def fresh(cls, field: Array, seed: int, *, step: float = 0.1) -> ChainState:
        """Return the state before the first trajectory.

        Raises:
            InvalidInput: The field is not finite, the step not positive, or the seed negative.
        """
        start = np.array(field, dtype=np.float64)
        if not np.isfinite(start).all() or not step > 0.0 or seed < 0:
            raise InvalidInput("A chain starts from finite numbers, a positive step size and a seed of 0 or more.")
        return cls(start, step, 0, dict(np.random.default_rng(seed).bit_generator.state))

    def generator(self) -> np.random.Generator:
        """Return a generator that goes on where the state was taken.

        Raises:
            InvalidInput: The stored state is not one of PCG64.
        """
        bits = np.random.PCG64()
        try:
            bits.state = cast("Any", self.rng)
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidInput("The stored state of the random generator is not one of PCG64.") from error
        return np.random.Generator(bits)


def integrate(
    theory: Action, field: Array, momentum: Array, steps: int, step: float, *, integrator: str = "omelyan"
) -> tuple[Array, Array]:
    """Return field and momentum after `steps` steps along H = p^2/2 + S.

    Both integrators are of second order: the energy is off by O(step^2), and reversing the momentum runs the way back.
    """
    x, p = field.copy(), momentum.copy()
    if integrator == "leapfrog":
        p += 0.5 * step * theory.force(x)
        for k in range(steps):
            x += step * p
            p += (step if k + 1 < steps else 0.5 * step) * theory.force(x)
        return x, p
    edge, inner = MINIMUM_NORM * step, (1.0 - 2.0 * MINIMUM_NORM) * step
    p += edge * theory.force(x)
    for k in range(steps):
        x += 0.5 * step * p
        p += inner * theory.force(x)
        x += 0.5 * step * p
        # Kicks at the end of one step and the start of the next are one.
        p += (2.0 * edge if k + 1 < steps else edge) * theory.force(x)
    return x, p


def hamiltonian(theory: Action, field: Array, momentum: Array) -> Array:
    """Return p^2/2 + S of every chain (chain,)."""
    kinetic = 0.5 * np.sum(momentum.reshape(len(momentum), -1) ** 2, axis=1)
    return np.asarray(kinetic + theory.action(field))


@dataclass(frozen=True)
class Moved:
    """One trajectory of all chains: the field after it, Delta H and whether it was taken, both (chain,)."""

    field: Array
    delta: Array
    accepted: NDArray[np.bool_]


def trajectory(theory: Action, field: Array, step: float, recipe: Recipe, rng: np.random.Generator) -> Moved:
    """Return the chains after one trajectory with fresh Gaussian momenta and Metropolis' decision.

    A trajectory that ends in no number is refused, as its energy would be infinite.
    """
    momentum = rng.standard_normal(field.shape)
    steps = max(1, round(recipe.length / step))
    now = step * (1.0 + recipe.jitter * (2.0 * rng.random() - 1.0))
    with np.errstate(over="ignore", invalid="ignore"):
        end, final = integrate(theory, field, momentum, steps, now, integrator=recipe.integrator)
        delta = hamiltonian(theory, end, final) - hamiltonian(theory, field, momentum)
    delta = np.where(np.isfinite(delta), delta, np.inf)
    accepted = np.log(1.0 - rng.random(len(field))) < -delta
    chosen = np.where(accepted.reshape(-1, *[1] * (field.ndim - 1)), end, field)
    return Moved(chosen, delta, accepted)


def thermalise(
    theory: Action,
    state: ChainState,
    trajectories: int,
    recipe: Recipe | None = None,
    *,
    between: Sequence[Update] = (),
) -> ChainState:
    """Return the state after trajectories that are thrown away and that tune the step size to the target acceptance.

    Robbins & Monro 1951: ln(step) moves by (acceptance - target) / n^0.6 at the n-th trajectory. Tuning a chain by its
    own past breaks detailed balance, so it happens here alone, never in `sample`.

    Args:
        theory: Action and force.
        state: From `ChainState.fresh`, or of an earlier call: the tuning goes on.
        trajectories: How many to make.
        recipe: How.
        between: Further updates after each trajectory, such as `Winding`.
    """
    recipe = recipe or Recipe()
    rng, field, step = state.generator(), state.field, state.step
    for n in range(trajectories):
        moved = trajectory(theory, field, step, recipe, rng)
        field = _updated(moved.field, between, rng)
        chance = float(np.exp(-np.maximum(moved.delta, 0.0)).mean())
        gain = (state.trajectories + n + 1.0) ** -0.6
        step *= float(np.exp(gain * (chance - recipe.target)))
        # A chain that takes nothing would shrink its steps for ever, and never end a trajectory.
        step = min(max(step, recipe.length / _MOST_STEPS), recipe.length)
        _tell(n + 1, trajectories, "thermalised")
    done = state.trajectories + trajectories
    return ChainState(field, step, done, dict(rng.bit_generator.state))


def sample(
    theory: Action,
    state: ChainState,
    draws: int,
    measure: Measure,
    recipe: Recipe | None = None,
    *,
    between: Sequence[Update] = (),
) -> tuple[dict[str, Array], ChainState]:
    """Return what was measured after each trajectory, and the state to go on from.

    Calling it twice, the second time with the state that the first returned (stored in between, if you like), gives the
    very numbers of one longer call.

    Args:
        theory: Action and force.
        state: Thermalised; its step size stays.
        draws: Trajectories, each followed by a measurement.
        measure: Observables of a field by name, first axis the chain.
        recipe: How.
        between: Further updates after each trajectory.

    Returns:
        Arrays (chain, draw, ...), among them `accepted` (0 or 1) and `delta_h`.
    """
    recipe = recipe or Recipe()
    rng, field = state.generator(), state.field
    rows: dict[str, list[Array]] = {}
    for n in range(draws):
        moved = trajectory(theory, field, state.step, recipe, rng)
        field = _updated(moved.field, between, rng)
        told = {"accepted": moved.accepted.astype(np.float64), "delta_h": moved.delta}
        for name, value in {**measure(field), **told}.items():
            rows.setdefault(name, []).append(np.asarray(value))
        _tell(n + 1, draws, "made")
    end = dataclasses.replace(
        state, field=field, trajectories=state.trajectories + draws, rng=dict(rng.bit_generator.state)
    )
    return {name: np.stack(values, axis=1) for name, values in rows.items()}, end


def _tell(done: int, wanted: int, verb: str) -> None:
    if done == wanted or done % max(1, wanted // _TOLD) == 0:
        progress(done / wanted, f"{verb} {done} of {wanted} trajectories")


def _updated(field: Array, between: Sequence[Update], rng: np.random.Generator) -> Array:
    for update in between:
        field = update(field, rng)
    return field
