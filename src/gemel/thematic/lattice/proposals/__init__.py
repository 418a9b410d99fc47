"""Proposals that are no flows: a generative adversarial network in a larger space, and a quantum circuit; both exact.

Everything but `train_gan` and `GanSettings` works without PyTorch.
"""

from typing import TYPE_CHECKING, Any

from gemel.base.plugins import require
from gemel.thematic.lattice.proposals._gan import GanProposal
from gemel.thematic.lattice.proposals._ising import Ising, single_flips, spectral_gap, transition_matrix
from gemel.thematic.lattice.proposals._quantum import Circuit, QuantumChain

if TYPE_CHECKING:
    from gemel.thematic.lattice.proposals._gan_training import GanSettings, train_gan

__all__ = [
    "Circuit",
    "GanProposal",
    "GanSettings",
    "Ising",
    "QuantumChain",
    "single_flips",
    "spectral_gap",
    "train_gan",
    "transition_matrix",
]


def __getattr__(name: str) -> Any:
    """Return what needs PyTorch when it is asked for."""
    if name in ("GanSettings", "train_gan"):
        require("torch", extra="ml")
        from gemel.thematic.lattice.proposals import _gan_training

        return getattr(_gan_training, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
