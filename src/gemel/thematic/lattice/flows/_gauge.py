"""Gauge-equivariant layers for two-dimensional U(1): a link moves its two plaquettes, told by others (arXiv:2003.06413)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gemel.thematic.lattice.flows import _splines as splines
from gemel.thematic.lattice.flows._conditioner import Conditioner, mirrored, odd

_PERIOD = 4


def wrapped(angles: Tensor) -> Tensor:
    """Return angles moved into [-pi, pi)."""
    return torch.remainder(angles + math.pi, 2.0 * math.pi) - math.pi


class Stripes(nn.Module):
    """Moves the links of every fourth row, and with each the plaquettes on its two sides, in opposite directions.

    The plaquette ahead of a moving link gets a new angle by a circular rational-quadratic spline (Rezende et al. 2020,
    arXiv:2002.02428) about the middle of its two plaquettes, then a shift; the one behind takes up the difference. The
    network sees the two rows of plaquettes that stand still, and sums of the two that move: the layer does not change
    these, which are loops around both. So parameters are gauge invariant and the log-determinant is that of the splines.
    Charge conjugation P -> -P commutes with the layer.

    Args:
        extent: Sites each way, a multiple of 4.
        direction: Of the links that move.
        offset: Which rows, 0 to 3.
        hidden: Units of the network.
        knots: Bins of the spline.
        reach: Plaquettes to each side along the row that the network sees.
        conditions: Further numbers that the network is told, such as the coupling.
    """

    ahead: Tensor
    behind: Tensor
    around: Tensor

    def __init__(  # noqa: PLR0913 - named settings of one layer
        self,
        extent: int,
        direction: int,
        offset: int,
        *,
        hidden: int = 16,
        knots: int = 4,
        reach: int = 1,
        conditions: int = 0,
    ) -> None:
        super().__init__()
        self.bins, self.direction = knots, direction
        ahead, behind, around = _rows(extent, direction, offset, reach)
        self.register_buffer("ahead", ahead, persistent=False)
        self.register_buffer("behind", behind, persistent=False)
        self.register_buffer("around", around, persistent=False)
        self.conditioner = Conditioner(2 * around.shape[1] + conditions, hidden, 3 * knots + 1)

    def _answered(self, flat: Tensor, pair: Tensor, condition: Tensor | None) -> tuple[splines.Knots, Tensor]:
        known = flat.index_copy(1, self.ahead, pair)
        angles = known.index_select(1, self.around.flatten()).view(len(flat), *self.around.shape)
        cosine, sine = torch.cos(angles), torch.sin(angles)
        told = [] if condition is None else [condition[:, None, :].expand(-1, cosine.shape[1], -1)]
        first, second = self.conditioner(torch.cat([cosine, sine, *told], -1), torch.cat([cosine, -sine, *told], -1))
        k = self.bins
        widths = mirrored((first[..., :k], second[..., :k]))
        heights = mirrored((first[..., k : 2 * k], second[..., k : 2 * k]))
        slopes = mirrored((_closed(first[..., 2 * k : -1]), _closed(second[..., 2 * k : -1])))
        return splines.knots(widths, heights, slopes, math.pi), odd((first[..., -1], second[..., -1]))

    def change(self, plaquettes: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return by how much (batch, row and position) the moving plaquettes ahead grow, and ln |det| (batch,)."""
        flat, old, middle, pair = self._moving(plaquettes)
        spline, shift = self._answered(flat, pair, condition)
        value, slope = splines.forward(spline, wrapped(old - middle))
        return wrapped(value + shift + middle) - old, slope.sum(dim=1)

    def unchange(self, plaquettes: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return by how much the plaquettes ahead grow on the way back, and ln |det| of this way."""
        flat, old, middle, pair = self._moving(plaquettes)
        spline, shift = self._answered(flat, pair, condition)
        value, slope = splines.inverse(spline, wrapped(old - middle - shift))
        return wrapped(value + middle) - old, slope.sum(dim=1)

    def _moving(self, plaquettes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        flat = plaquettes.flatten(1)
        old = flat.index_select(1, self.ahead)
        pair = wrapped(old + flat.index_select(1, self.behind))
        return flat, old, 0.5 * pair, pair

    def _moved(self, plaquettes: Tensor, change: Tensor) -> Tensor:
        flat = plaquettes.flatten(1)
        new = flat.index_add(1, self.ahead, change).index_add(1, self.behind, -change)
        return wrapped(new).view_as(plaquettes)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the plaquettes (batch, x, y) in [-pi, pi) after the layer and ln |det| (batch,)."""
        change, logdet = self.change(x, condition)
        return self._moved(x, change), logdet

    def inverse(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the plaquettes that `forward` makes x from, and ln |det| of this way."""
        change, logdet = self.unchange(x, condition)
        return self._moved(x, change), logdet

    def move_links(self, links: Tensor, change: Tensor) -> Tensor:
        """Return links (batch, 2, x, y) that carry the change of the plaquettes: theta_0 enters P with +, theta_1 with -."""
        sign = 1.0 if self.direction == 0 else -1.0
        flat = links[:, self.direction].flatten(1).index_add(1, self.ahead, sign * change)
        parts = list(links.unbind(1))
        parts[self.direction] = wrapped(flat).view_as(parts[self.direction])
        return torch.stack(parts, dim=1)


def _closed(slopes: Tensor) -> Tensor:
    """Return slopes at bins + 1 knots of a circle: the last knot is the first."""
    return torch.cat([slopes, slopes[..., :1]], dim=-1)


def _rows(extent: int, direction: int, offset: int, reach: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return flat indices of plaquettes ahead (moving,), behind (moving,) and what each is told by (moving, seen).

    Seen are the rows that stand still, and the row ahead, where the layer puts the sums of the two that move.
    """
    along, across = torch.meshgrid(torch.arange(extent), torch.arange(offset, extent, _PERIOD), indexing="ij")
    along, across = along.flatten(), across.flatten()

    def flat(i: Tensor, j: Tensor) -> Tensor:
        i, j = i % extent, j % extent
        return i * extent + j if direction == 0 else j * extent + i

    sideways = sorted({i % extent for i in range(-reach, reach + 1)})
    seen = [flat(along + i, across + j) for j in (0, 1, 2) for i in sideways]
    return flat(along, across), flat(along, across - 1), torch.stack(seen, dim=1)
