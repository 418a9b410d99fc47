"""Monotone rational-quadratic splines: Durkan et al. 2019, arXiv:1906.04032, section 3.1, batched and with tails."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

#: Smallest share of the interval that a bin may take, and the smallest slope at a knot.
_LEAST_BIN = 1e-3
_LEAST_SLOPE = 1e-3
#: softplus of this is 1 - the least slope: parameters of 0 give the identity.
_UNIT = math.log(math.expm1(1.0 - _LEAST_SLOPE))


@dataclass(frozen=True)
class Knots:
    """Where a spline passes.

    Attributes:
        x: Arguments of the knots (..., bins + 1), rising.
        y: Values at the knots, rising.
        slope: Derivatives at the knots, positive.
    """

    x: Tensor
    y: Tensor
    slope: Tensor

    def swapped(self) -> Knots:
        """Return arguments and values with their roles exchanged (the slopes stay those of the forward map)."""
        return Knots(self.y, self.x, self.slope)


def knots(widths: Tensor, heights: Tensor, slopes: Tensor, bound: float) -> Knots:
    """Return a spline of [-bound, bound] onto itself from unconstrained parameters; zeros give the identity.

    Args:
        widths: (..., bins).
        heights: (..., bins).
        slopes: (..., bins + 1).
        bound: Half the interval.
    """
    return Knots(_edges(widths, bound), _edges(heights, bound), _LEAST_SLOPE + functional.softplus(slopes + _UNIT))


def _edges(logits: Tensor, bound: float) -> Tensor:
    bins = logits.shape[-1]
    # Several times faster than softmax over so few numbers.
    weight = torch.exp(logits)
    share = _LEAST_BIN + (1.0 - bins * _LEAST_BIN) * weight / weight.sum(dim=-1, keepdim=True)
    inner = 2.0 * bound * torch.cumsum(share, dim=-1)[..., :-1] - bound
    # The outermost knots lie exactly on the bounds: a sum of shares would miss them by rounding.
    return functional.pad(functional.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)


@dataclass(frozen=True)
class _Bin:
    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor
    first: Tensor
    last: Tensor


def _bin(spline: Knots, at: Tensor, edges: Tensor) -> _Bin:
    index = torch.sum(at[..., None] >= edges[..., 1:-1], dim=-1, keepdim=True)
    both = torch.cat([index, index + 1], dim=-1)
    x, y = torch.gather(spline.x, -1, both), torch.gather(spline.y, -1, both)
    slope = torch.gather(spline.slope, -1, both)
    (left, right), (bottom, top), (first, last) = x.unbind(-1), y.unbind(-1), slope.unbind(-1)
    return _Bin(left, right - left, bottom, top - bottom, first, last)


def _log_slope(part: _Bin, share: Tensor) -> Tensor:
    """Return the logarithm of equation 5 of Durkan et al."""
    steep = part.height / part.width
    rest = 1.0 - share
    mixed = share * rest
    top = steep**2 * (part.last * share**2 + 2.0 * steep * mixed + part.first * rest**2)
    bottom = steep + (part.last + part.first - 2.0 * steep) * mixed
    return torch.log(top) - 2.0 * torch.log(bottom)


def forward(spline: Knots, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the spline at x (...) and the logarithm of its derivative; outside of the knots it goes on straight."""
    low, high = spline.x[..., 0], spline.x[..., -1]
    inside = torch.minimum(torch.maximum(x, low), high)
    part = _bin(spline, inside, spline.x)
    share = (inside - part.left) / part.width
    steep, mixed = part.height / part.width, share * (1.0 - share)
    top = part.height * (steep * share**2 + part.first * mixed)
    y = part.bottom + top / (steep + (part.last + part.first - 2.0 * steep) * mixed)
    log_slope = _log_slope(part, share)
    # At the ends the derivative inside is the slope of the end's knot, so that tails join smoothly.
    return y + (x - inside) * torch.exp(log_slope), log_slope


def inverse(spline: Knots, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return x with spline(x) = y, and the logarithm of dx/dy: equations 6 to 8 of Durkan et al."""
    low, high = spline.y[..., 0], spline.y[..., -1]
    inside = torch.minimum(torch.maximum(y, low), high)
    part = _bin(spline, inside, spline.y)
    steep, rise = part.height / part.width, inside - part.bottom
    bend = rise * (part.last + part.first - 2.0 * steep)
    a = part.height * (steep - part.first) + bend
    b = part.height * part.first - bend
    c = -steep * rise
    share = 2.0 * c / (-b - torch.sqrt(torch.clamp(b**2 - 4.0 * a * c, min=0.0)))
    log_slope = _log_slope(part, share)
    return part.left + share * part.width + (y - inside) * torch.exp(-log_slope), -log_slope
