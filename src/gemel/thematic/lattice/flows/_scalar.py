"""Layers for a scalar field on a periodic lattice: momentum shells, one function for all sites, checkerboard couplings."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from gemel.thematic.lattice.flows import _splines as splines
from gemel.thematic.lattice.flows._conditioner import Conditioner, even, mirrored, odd


class Shells(nn.Module):
    """Multiplies every Fourier mode by a learned amplitude, one for each value of the lattice momentum squared.

    White noise becomes a Gaussian field with a learned power spectrum: the free field is the start, with variance
    1/(2 (m^2 + k^2)) per mode, k^2 = sum_mu 4 sin^2(pi n_mu / L).

    Args:
        extent: Sites each way.
        mass_squared: Of the free field that it starts as, positive.
    """

    index: Tensor
    values: Tensor

    def __init__(self, extent: int, mass_squared: float = 1.0) -> None:
        super().__init__()
        steps = 4.0 * torch.sin(torch.pi * torch.arange(extent, dtype=torch.float64) / extent) ** 2
        values, index = torch.unique(torch.round(steps[:, None] + steps[None, :], decimals=9), return_inverse=True)
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("values", values, persistent=False)
        start = -0.5 * torch.log(2.0 * (mass_squared + values))
        self.log_amplitude = nn.Parameter(start.to(torch.get_default_dtype()))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the field (batch, x, y) with scaled modes and ln |det| (batch,)."""
        return self._scaled(x, self.log_amplitude)

    def inverse(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the field that `forward` makes x from, and ln |det| of this way."""
        return self._scaled(x, -self.log_amplitude)

    def _scaled(self, x: Tensor, log_amplitude: Tensor) -> tuple[Tensor, Tensor]:
        field = log_amplitude[self.index]
        half = field[:, : x.shape[-1] // 2 + 1]
        scaled = torch.fft.irfft2(torch.fft.rfft2(x) * torch.exp(half), s=x.shape[-2:])
        return scaled, field.sum().expand(len(x))


class Sitewise(nn.Module):
    """Applies one odd monotone function to every site: a mean field, which makes a Gaussian flat or two-peaked.

    Args:
        knots: Bins of the spline.
        bound: Sites beyond it are moved along straight tails.
    """

    def __init__(self, knots: int = 12, bound: float = 2.0) -> None:
        super().__init__()
        self.bound, self.bins = bound, knots
        self.raw = nn.Parameter(torch.zeros(3 * knots + 1))
        self.log_scale = nn.Parameter(torch.zeros(()))

    def _spline(self) -> splines.Knots:
        k = self.bins
        parts = self.raw[:k], self.raw[k : 2 * k], self.raw[2 * k :]
        # Twice the same answer: a function without context is odd of itself.
        widths, heights, slopes = (mirrored((part, part)) for part in parts)
        return splines.knots(widths, heights, slopes, self.bound)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the field (batch, x, y) with every site moved and ln |det| (batch,)."""
        y, slope = splines.forward(_spread(self._spline(), x), x)
        return y * torch.exp(self.log_scale), (slope + self.log_scale).sum(dim=(1, 2))

    def inverse(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the field that `forward` makes x from, and ln |det| of this way."""
        y, slope = splines.inverse(_spread(self._spline(), x), x * torch.exp(-self.log_scale))
        return y, (slope - self.log_scale).sum(dim=(1, 2))


def _spread(spline: splines.Knots, x: Tensor) -> splines.Knots:
    shape = (*x.shape, spline.x.shape[-1])
    return splines.Knots(*(part.expand(shape) for part in (spline.x, spline.y, spline.slope)))


class Checkerboard(nn.Module):
    """Moves the sites of one parity, each by an affine map or spline that a convolution over the other parity tells.

    Equivariant under lattice translations by an even number of sites and under phi -> -phi.

    Args:
        extent: Sites each way, even.
        parity: Which sites move, 0 or 1.
        hidden: Units of the network.
        knots: Bins of the spline; 0 for an affine map.
        reach: Sites to each side that the convolution sees: a kernel of 2 reach + 1, which goes around the lattice.
        bound: Beyond it splines are straight.
    """

    active: Tensor
    around: Tensor

    def __init__(
        self, extent: int, parity: int, hidden: int = 24, *, knots: int = 6, reach: int = 2, bound: float = 2.0
    ) -> None:
        super().__init__()
        self.bins, self.bound = knots, bound
        active, around = _neighbourhoods(extent, parity, reach)
        self.register_buffer("active", active, persistent=False)
        self.register_buffer("around", around, persistent=False)
        self.conditioner = Conditioner(around.shape[1], hidden, 2 + (3 * knots + 1 if knots else 0))

    def _answers(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        context = flat.index_select(1, self.around.flatten()).view(len(flat), *self.around.shape)
        return cast("tuple[Tensor, Tensor]", self.conditioner(context, -context))

    def _answered(self, flat: Tensor) -> tuple[Tensor, Tensor, splines.Knots | None]:
        first, second = self._answers(flat)
        log_scale = even((first[..., 0], second[..., 0]))
        shift = odd((first[..., 1], second[..., 1]))
        if not self.bins:
            return log_scale, shift, None
        sizes = [2, self.bins, self.bins, self.bins + 1]
        _, *parts = zip(torch.split(first, sizes, -1), torch.split(second, sizes, -1), strict=True)
        widths, heights, slopes = (mirrored(part) for part in parts)
        return log_scale, shift, splines.knots(widths, heights, slopes, self.bound)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the field (batch, x, y) with one parity moved and ln |det| (batch,)."""
        flat = x.flatten(1)
        log_scale, shift, spline = self._answered(flat)
        old = flat.index_select(1, self.active)
        value, slope = splines.forward(spline, old) if spline else (old, torch.zeros_like(old))
        new = value * torch.exp(log_scale) + shift
        return flat.index_copy(1, self.active, new).view_as(x), (slope + log_scale).sum(dim=1)

    def inverse(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the field that `forward` makes x from, and ln |det| of this way."""
        flat = x.flatten(1)
        log_scale, shift, spline = self._answered(flat)
        value = (flat.index_select(1, self.active) - shift) * torch.exp(-log_scale)
        old, slope = splines.inverse(spline, value) if spline else (value, torch.zeros_like(value))
        return flat.index_copy(1, self.active, old).view_as(x), (slope - log_scale).sum(dim=1)


def _neighbourhoods(extent: int, parity: int, reach: int) -> tuple[Tensor, Tensor]:
    """Return flat indices of the moving sites (site,) and of the frozen ones that each sees (site, neighbour)."""
    sites = torch.arange(extent)
    x, y = (axis.flatten() for axis in torch.meshgrid(sites, sites, indexing="ij"))
    chosen = (x + y) % 2 == parity
    x, y = x[chosen], y[chosen]
    side = range(-reach, reach + 1)
    steps = {(i % extent, j % extent) for i in side for j in side if (i + j) % 2}
    around = [(x + i) % extent * extent + (y + j) % extent for i, j in sorted(steps)]
    return x * extent + y, torch.stack(around, dim=1)
