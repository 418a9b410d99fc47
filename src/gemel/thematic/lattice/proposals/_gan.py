"""A generative adversarial network as a proposal, made exact in a larger space: field and latent numbers together.

A generator has no density that could be computed, so none is asked for. Draw z ~ N(0, 1) and x = g(z) + sigma e with
normal noise e: the pair (x, z) has the density q(x, z) = N(z; 0, 1) N(x; g(z), sigma^2), which is known. Let the target on
pairs be p(x) r(z|x), with any normalised density r that is positive everywhere, here a Gaussian that was fitted to pairs
of the generator. Its marginal in x is p(x) exactly. So w = p(x) r(z|x) / q(x, z) weighs and Metropolis' decisions on pairs
with this w make an exact chain, however bad the generator and however bad r; these cost acceptance alone (auxiliary
variables as in Agakov & Barber 2004, doi 10.1007/978-3-540-30499-9_86).

Adversarial training leaves out what is rare, and then a few pairs carry most of the weight. So a share of the proposals
comes from a plain Gaussian N(x; 0, C) with the covariance of the configurations, with z ~ r(z|x) beside it. The pair then
has the density (1 - s) q(x, z) + s N(x; 0, C) r(z|x), which is known too, and no weight exceeds that of the Gaussian by
more than 1/s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput, NotFound

Array = NDArray[np.float64]
_LOG_2PI = float(np.log(2.0 * np.pi))
#: Arrays of a proposal, with axes named: v sites, d latent numbers, h and e hidden units.
SHAPES = {
    "g_linear": "vd", "g_first": "hd", "g_second": "hh", "g_last": "vh", "log_noise": "",
    "covariance": "vv", "r_linear": "dv", "r_first": "ev", "r_second": "ee", "r_last": "de", "r_root": "dd",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class GanProposal:
    """A generator with its noise, and the density of latent numbers given a field; all of it odd in its argument.

    Attributes:
        shape: Sites each way.
        arrays: g(z) = g_linear z + g_last tanh(g_second tanh(g_first z)), sigma = exp(log_noise); r(z|x) is Gaussian with
            the mean r_linear x + r_last tanh(r_second tanh(r_first x)) and the root of its precision, r_root: upper
            triangular, whose diagonal holds logarithms; covariance is C.
        share: Of proposals from N(0, C), in [0, 1].
        record: How it was trained.
    """

    shape: tuple[int, int]
    arrays: dict[str, Array]
    share: float = 0.25
    record: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit one another."""
        if not 0.0 <= self.share <= 1.0:
            raise InvalidInput(f"A share of {self.share} cannot be.")
        sizes = {"v": self.shape[0] * self.shape[1]}
        for name, axes in SHAPES.items():
            found = np.shape(self.arrays.get(name, ()))
            expected = tuple(sizes.setdefault(axis, n) for axis, n in zip(axes, found, strict=False))
            if name not in self.arrays or len(found) != len(axes) or found != expected:
                raise InvalidInput(f"The array '{name}' of this proposal has the shape {found}.")

    def generate(self, z: Array) -> Array:
        """Return the means g(z) of fields (sample, site) for latent numbers (sample, latent)."""
        a = self.arrays
        hidden = np.tanh(np.tanh(z @ a["g_first"].T) @ a["g_second"].T)
        return np.asarray(z @ a["g_linear"].T + hidden @ a["g_last"].T)

    def log_joint(self, x: Array, z: Array) -> Array:
        """Return ln q(x, z), x (sample, site) and z (sample, latent), as (sample,)."""
        noise = float(self.arrays["log_noise"])
        rest = (x - self.generate(z)) * np.exp(-noise)
        squares = np.sum(z**2, axis=1) + np.sum(rest**2, axis=1)
        return np.asarray(-0.5 * squares - x.shape[1] * noise - 0.5 * (x.shape[1] + z.shape[1]) * _LOG_2PI)

    def log_latent(self, x: Array, z: Array) -> Array:
        """Return ln r(z|x) as (sample,)."""
        mean, root = self._latent(x)
        white = (z - mean) @ root.T
        log_root = float(np.log(np.diagonal(root)).sum())
        return np.asarray(-0.5 * np.sum(white**2, axis=1) + log_root - 0.5 * z.shape[1] * _LOG_2PI)

    def _latent(self, x: Array) -> tuple[Array, Array]:
        a = self.arrays
        hidden = np.tanh(np.tanh(x @ a["r_first"].T) @ a["r_second"].T)
        root = np.triu(a["r_root"], 1) + np.diag(np.exp(np.diagonal(a["r_root"])))
        return x @ a["r_linear"].T + hidden @ a["r_last"].T, root

    def log_gaussian(self, x: Array) -> Array:
        """Return ln N(x; 0, C) as (sample,)."""
        lower = np.linalg.cholesky(self.arrays["covariance"])
        white = np.linalg.solve(lower, x.T)
        log_root = float(np.log(np.diagonal(lower)).sum())
        return np.asarray(-0.5 * np.sum(white**2, axis=0) - log_root - 0.5 * x.shape[1] * _LOG_2PI)

    def propose(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return fields (count, x, y) and what stands for ln q in weights, (count,).

        That is ln of (1 - s) q(x, z) / r(z|x) + s N(x; 0, C). Give it to `gemel.thematic.lattice.independence_metropolis` or
        `reweighted` beside -S(x): both are then exact on pairs, and therefore on fields; the mean weight is Z.

        Args:
            count: How many.
            rng: Source of chance, moved on.
        """
        sites, latents = self.arrays["g_linear"].shape
        z, white = rng.standard_normal((count, latents)), rng.standard_normal((count, sites))
        x = self.generate(z) + np.exp(float(self.arrays["log_noise"])) * white
        plain = rng.random(count) < self.share
        x[plain] = white[plain] @ np.linalg.cholesky(self.arrays["covariance"]).T
        mean, root = self._latent(x[plain])
        z[plain] = mean + np.linalg.solve(root, z[plain].T).T
        with np.errstate(divide="ignore"):
            shares = np.log([1.0 - self.share, self.share])
        log_pair = self.log_joint(x, z) - self.log_latent(x, z)
        return x.reshape(count, *self.shape), np.logaddexp(shares[0] + log_pair, shares[1] + self.log_gaussian(x))

    def save(self, path: Path) -> None:
        """Write the proposal as .npz, without anything pickled."""
        about = np.array(
            json.dumps({"shape": list(self.shape), "share": self.share, "record": self.record}, sort_keys=True)
        )
        stored: dict[str, Any] = {name: np.asarray(value, dtype=np.float32) for name, value in self.arrays.items()}
        with path.open("wb") as stream:
            np.savez_compressed(stream, about=about, **stored)

    @classmethod
    def load(cls, path: Path) -> GanProposal:
        """Return the proposal that `save` wrote.

        Raises:
            NotFound: There is no such file.
            InvalidInput: It is no proposal.
        """
        if not path.is_file():
            raise NotFound(f"There is no proposal at '{path}'.")
        try:
            with np.load(path, allow_pickle=False) as stored:
                about = json.loads(str(stored["about"]))
                arrays = {name: stored[name].astype(np.float64) for name in SHAPES}
            shape = (int(about["shape"][0]), int(about["shape"][1]))
            share, record = float(about["share"]), dict(about["record"])
        except (ValueError, KeyError, TypeError, IndexError, OSError, EOFError) as error:
            raise InvalidInput(f"'{path.name}' is no proposal: {str(error)[:200]}") from error
        return cls(shape, arrays, share, record)
