"""Errors of correlated data by the Gamma method: Wolff 2004, hep-lat/0306017."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gemel.base.errors import InvalidInput

Array = NDArray[np.float64]
Derived = Callable[[Array], float]


@dataclass(frozen=True)
class Estimate:
    """A mean with its error, autocorrelation included.

    Attributes:
        value: Estimate, free of the O(1/N) bias where there are several replicas.
        error: Its standard error.
        error_of_error: Standard error of `error`.
        tau: Integrated autocorrelation time in draws; 0.5 for independent draws.
        tau_error: Its standard error.
        window: Where the sum over the autocorrelation was cut off.
        cut: Whether the window was found before the data ended; if not, `tau` and `error` are lower bounds.
        independent: Number of independent draws that the data are worth, N / (2 tau).
        replicas_agree: Chance of replica means further apart than these; None for a single replica. Below 0.01 some
            chain had not found its equilibrium.
    """

    value: float
    error: float
    error_of_error: float
    tau: float
    tau_error: float
    window: int
    cut: bool
    independent: float
    replicas_agree: float | None = None


def gamma_method(
    replicas: Sequence[ArrayLike] | ArrayLike, function: Derived | None = None, *, stability: float = 1.5
) -> Estimate:
    """Return the mean of correlated data, or a function of means, with error and integrated autocorrelation time.

    The window is the automatic one of Wolff: the first W where exp(-W/t) - t/sqrt(W N) turns negative, t being
    `stability` over ln((2 tau + 1)/(2 tau - 1)). The bias of Gamma from the unknown mean is taken off.

    Args:
        replicas: Draws of one replica or (replica, draw), or a list of replicas of any lengths; with `function` each draw
            is a vector of primary observables on the last axis.
        function: Of the means of the primary observables; its gradient is taken by central differences.
        stability: S; 1 to 2 for series that decay exponentially.

    Raises:
        InvalidInput: Too few draws, draws that are no numbers, or draws that never vary: their time is unknown.

    >>> estimate = gamma_method(np.random.default_rng(1).standard_normal(20000))
    >>> abs(estimate.value) < 4 * estimate.error, abs(estimate.tau - 0.5) < 4 * estimate.tau_error
    (True, True)
    """
    series = _replicas(replicas, vector=function is not None)
    lengths = np.array([len(part) for part in series])
    mean = np.concatenate(series).mean(axis=0)
    if function is None:
        projected = [part[:, 0] - mean[0] for part in series]
        value = float(mean[0])
    else:
        slope = _gradient(function, mean, np.concatenate(series))
        projected = [(part - mean) @ slope for part in series]
        value = float(function(mean))
    gamma = _autocovariance(projected)
    if not gamma[0] > 1e-28 * max(1.0, value * value):
        hint = "A frozen chain tells nothing of its autocorrelation: make it longer, or take better updates."
        raise InvalidInput("These draws never vary.", hint=hint)
    return _judged(_Parts(series, projected, lengths), gamma, function, value, stability)


@dataclass(frozen=True)
class _Parts:
    series: list[Array]
    projected: list[Array]
    lengths: NDArray[np.int64]


def _judged(parts: _Parts, gamma: Array, function: Derived | None, value: float, stability: float) -> Estimate:
    total = int(parts.lengths.sum())
    window, cut = _window(gamma, total, stability)
    spread = gamma[0] + 2.0 * gamma[1 : window + 1].sum()
    # Gamma from the data's own mean is too small by spread/N at every lag.
    corrected = gamma + spread / total
    full = corrected[0] + 2.0 * corrected[1 : window + 1].sum()
    full = max(float(full), float(corrected[0]) / total)
    tau = full / (2.0 * corrected[0])
    error = float(np.sqrt(full / total))
    agreement = None
    if len(parts.series) > 1:
        value, agreement = _replica_corrected(parts, function, value, stability)
    return Estimate(
        value=value,
        error=error,
        error_of_error=error * float(np.sqrt((window + 0.5) / total)),
        tau=float(tau),
        tau_error=float(tau * 2.0 * np.sqrt(max(window + 0.5 - tau, 0.0) / total)),
        window=window,
        cut=cut,
        independent=float(total / (2.0 * tau)),
        replicas_agree=agreement,
    )


def _replicas(given: Sequence[ArrayLike] | ArrayLike, *, vector: bool) -> list[Array]:
    depth = 1 if vector else 0
    single = isinstance(given, np.ndarray) and given.ndim == depth + 1
    if not single and not isinstance(given, np.ndarray):
        single = np.ndim(given[0]) == depth  # type: ignore[index]
    parts = [np.asarray(part, dtype=np.float64) for part in ([given] if single else given)]  # type: ignore[union-attr]
    parts = [part if vector else part[..., None] for part in parts]
    if not parts or any(part.ndim != 2 or len(part) < 4 for part in parts):
        raise InvalidInput("A replica needs four draws or more, each one number (or one vector with `function`).")
    if not all(np.isfinite(part).all() for part in parts):
        raise InvalidInput("Some draws are no finite numbers.")
    return parts


def _gradient(function: Derived, mean: Array, draws: Array) -> Array:
    step = draws.std(axis=0) / np.sqrt(len(draws))
    slope = np.zeros(len(mean))
    for k in np.flatnonzero(step > 0.0):
        up, down = mean.copy(), mean.copy()
        up[k] += step[k]
        down[k] -= step[k]
        slope[k] = (function(up) - function(down)) / (2.0 * step[k])
    return slope


def _autocovariance(projected: list[Array]) -> Array:
    """Return Gamma(t), pooled over replicas, by FFT, to half the shortest replica."""
    most = min(len(part) for part in projected) // 2
    summed, pairs = np.zeros(most + 1), np.zeros(most + 1)
    for part in projected:
        size = 1 << int(np.ceil(np.log2(2 * len(part))))
        power = np.abs(np.fft.rfft(part, size)) ** 2
        summed += np.fft.irfft(power, size)[: most + 1]
        pairs += len(part) - np.arange(most + 1)
    return np.asarray(summed / pairs)


def _window(gamma: Array, total: int, stability: float) -> tuple[int, bool]:
    tau = sizes = 0.5
    for w in range(1, len(gamma)):
        tau += gamma[w] / gamma[0]
        sizes += abs(gamma[w]) / gamma[0]
        # Draws that alternate have tau < 0.5, where Wolff would stop at once: their memory is told by the sizes.
        memory = max(tau if tau > 0.5 else sizes, 0.5 + 1e-12)
        scale = stability / np.log((2.0 * memory + 1.0) / (2.0 * memory - 1.0))
        if np.exp(-w / scale) - scale / np.sqrt(w * total) < 0.0:
            return w, True
    return len(gamma) - 1, False


def _replica_corrected(parts: _Parts, function: Derived | None, value: float, stability: float) -> tuple[float, float]:
    """Return the value without its O(1/N) bias and the chance of replicas as far apart.

    The latter from the spread inside replicas alone, so that chains stuck apart do not excuse themselves.
    """
    of = function or (lambda mean: float(mean[0]))
    each = np.array([of(part.mean(axis=0)) for part in parts.series])
    count, total = len(each), parts.lengths.sum()
    pooled = float((each * parts.lengths).sum() / total)
    unbiased = (count * value - pooled) / (count - 1)
    inside = _autocovariance([part - part.mean() for part in parts.projected])
    if not inside[0] > 0.0:
        return unbiased, 0.0
    window, _ = _window(inside, int(total), stability)
    spread = (inside[0] + 2.0 * inside[1 : window + 1].sum()) * (1.0 + (2.0 * window + 1.0) * count / total)
    chi = float(np.sum((each - pooled) ** 2 * parts.lengths) / max(spread, inside[0] / total))
    return unbiased, float(special.gammaincc((count - 1) / 2.0, chi / 2.0))


def jackknife(draws: ArrayLike, function: Derived | None = None, *, block: int = 1) -> tuple[float, float]:
    """Return estimate and error by the blocked jackknife, free of the O(1/N) bias.

    Args:
        draws: (draw,), or (draw, observable) with `function`.
        function: Of the means; without it the mean itself.
        block: Draws left out together: several autocorrelation times. Draws beyond the last whole block are left out.

    Raises:
        InvalidInput: Fewer than two whole blocks.
    """
    blocks = _blocks(draws, block)
    of = function or (lambda mean: float(mean[0]))
    count = len(blocks)
    left = (blocks.sum(axis=0) - blocks) / (count - 1)
    each = np.array([of(mean) for mean in left])
    whole = of(blocks.mean(axis=0))
    error = np.sqrt((count - 1) / count * np.sum((each - each.mean()) ** 2))
    return float(count * whole - (count - 1) * each.mean()), float(error)


def bootstrap(
    draws: ArrayLike, rng: np.random.Generator, function: Derived | None = None, *, block: int = 1, rounds: int = 500
) -> tuple[float, float]:
    """Return estimate and error by the blocked bootstrap.

    Args:
        draws: (draw,), or (draw, observable) with `function`.
        rng: Source of chance, moved on.
        function: Of the means; without it the mean itself.
        block: Draws taken together.
        rounds: Resamplings.

    Raises:
        InvalidInput: Fewer than two whole blocks.
    """
    blocks = _blocks(draws, block)
    of = function or (lambda mean: float(mean[0]))
    each = [of(blocks[rng.integers(len(blocks), size=len(blocks))].mean(axis=0)) for _ in range(rounds)]
    return of(blocks.mean(axis=0)), float(np.std(each, ddof=1))


def _blocks(draws: ArrayLike, block: int) -> Array:
    array = np.asarray(draws, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    count = len(array) // block if block > 0 else 0
    if count < 2:
        raise InvalidInput(f"{len(array)} draws make fewer than two blocks of {block}.")
    return np.asarray(array[: count * block].reshape(count, block, -1).mean(axis=1))
