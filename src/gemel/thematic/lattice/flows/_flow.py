"""A normalising flow: a distribution that one can draw from, and invertible layers that carry it elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from gemel.base.errors import InvalidInput


class Layer(Protocol):
    """An invertible map of fields (batch, x, y)."""

    def __call__(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mapped field and ln |det| of the Jacobian (batch,)."""

    def inverse(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the field that maps onto x, and ln |det| of this way."""


class Prior(Protocol):
    """Where a flow starts."""

    extent: int

    def draw(
        self, count: int, generator: torch.Generator, dtype: torch.dtype, condition: Tensor | None = None
    ) -> Tensor:
        """Return fields (count, x, y)."""

    def log_density(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return ln of the density (batch,)."""


class Flow(nn.Module):
    """A prior and the layers after it; works in the type of its parameters, `flow.double()` for 1e-10.

    Args:
        prior: Where samples come from.
        layers: Applied in their order.
        span: Lowest and highest coupling that it was made for, where it is conditional.
    """

    def __init__(self, prior: nn.Module, layers: Sequence[nn.Module], span: tuple[float, float] | None = None) -> None:
        super().__init__()
        self.prior, self.layers = prior, nn.ModuleList(layers)
        self.span = span

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of the parameters."""
        return next(self.parameters()).dtype

    @property
    def extent(self) -> int:
        """Return the sites each way."""
        return self._prior.extent

    def told(self, coupling: Tensor | None) -> Tensor | None:
        """Return what the layers are told of the coupling, (batch, 1) from -1 to 1; None where nothing.

        Raises:
            InvalidInput: A coupling for a flow that is not conditional, or none for one that is.
        """
        if (coupling is None) != (self.span is None):
            hint = "A flow that is conditional is told one coupling per sample; any other flow none."
            raise InvalidInput("The coupling and the flow do not fit.", hint=hint)
        if coupling is None or self.span is None:
            return None
        low, high = self.span
        # On a logarithmic scale, from -1 to 1.
        return 2.0 * torch.log(coupling / low)[:, None] / torch.log(torch.tensor(high / low)).to(coupling) - 1.0

    def forward(self, z: Tensor, coupling: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mapped fields and ln |det| of the Jacobian (batch,).

        Args:
            z: Fields of the prior (batch, x, y).
            coupling: Of every sample (batch,), for a conditional flow.
        """
        told, x, total = self.told(coupling), z, z.new_zeros(len(z))
        for layer in self.layers:
            x, logdet = layer(x, told)
            total = total + logdet
        return x, total

    def inverse(self, x: Tensor, coupling: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the fields of the prior that map onto x (batch, x, y), and ln |det| of this way (batch,)."""
        told, z, total = self.told(coupling), x, x.new_zeros(len(x))
        for layer in reversed(self.layers):
            z, logdet = cast("Layer", layer).inverse(z, told)
            total = total + logdet
        return z, total

    def log_prob(self, x: Tensor, coupling: Tensor | None = None) -> Tensor:
        """Return ln q of fields (batch,)."""
        z, logdet = self.inverse(x, coupling)
        return self.log_prior(z, coupling) + logdet

    def log_prior(self, z: Tensor, coupling: Tensor | None = None) -> Tensor:
        """Return ln of the prior's density at z (batch,)."""
        return self._prior.log_density(z, _column(coupling))

    def sample(self, count: int, generator: torch.Generator, coupling: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return fields (count, x, y) and their ln q (count,); the gradient goes through both.

        Args:
            count: How many.
            generator: Source of all chance, on the device of the flow.
            coupling: Of every sample (count,), for a conditional flow.
        """
        z = self.draw_prior(count, generator, coupling)
        x, logdet = self(z, coupling)
        return x, self.log_prior(z, coupling) - logdet

    def draw(self, count: int, generator: torch.Generator, coupling: Tensor | None = None) -> Tensor:
        """Return fields (count, x, y) alone, as `sample` would."""
        return cast("Tensor", self(self.draw_prior(count, generator, coupling), coupling)[0])

    def draw_prior(self, count: int, generator: torch.Generator, coupling: Tensor | None = None) -> Tensor:
        """Return fields (count, x, y) of the prior."""
        return self._prior.draw(count, generator, self.dtype, _column(coupling))

    @property
    def _prior(self) -> Prior:
        return cast("Prior", self.prior)


def _column(coupling: Tensor | None) -> Tensor | None:
    return None if coupling is None else coupling[:, None]
