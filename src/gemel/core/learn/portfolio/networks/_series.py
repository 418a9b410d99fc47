"""Series: inputs along time, outputs along the same time or of any other shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._layout import FLAT, Layout
from gemel.core.learn.portfolio.networks._supervised import Plan, SupervisedLearner

#: Makes the network between of (channels in): (sample, time, channel) to (sample, time, width), `width` being its own.
Middle = Callable[[int], nn.Module]


def series_learner(description: Description, options: Mapping[str, Any], middle: Middle) -> SupervisedLearner:
    """Return a learner: a series out for every output along time, else numbers from the last instant.

    Raises:
        InvalidInput: No input is a series, or some outputs are series and others are not.
    """
    layout = _times(description)
    along = [_fits(layout, port.shape) for port in description.outputs]
    if any(along) and not all(along):
        raise InvalidInput(
            f"Some outputs of this '{description.kind}' are series of {layout.positions[0]} times and others are not.",
            hint="Make two models of it.",
        )
    body = _Body(middle, last=not all(along))
    return SupervisedLearner(Plan(description, options, body, layout, layout if all(along) else FLAT))


class SeriesBody(nn.Module):
    """What goes along the series, and a linear layer behind it, at every instant or at the last."""

    def __init__(self, middle: nn.Module, width: int, out: int, *, last: bool) -> None:
        super().__init__()
        self.middle, self.head = middle, nn.Linear(width, out)
        self._last = last

    def forward(self, series: Tensor) -> Tensor:
        """Return (sample, time, number), or (sample, number)."""
        found = self.middle(series)
        given: Tensor = self.head(found[:, -1] if self._last else found)
        return given


class _Body:
    """Makes a `SeriesBody`; a class, so that a description can travel to another process."""

    def __init__(self, middle: Middle, *, last: bool) -> None:
        self._middle, self._last = middle, last

    def __call__(self, into: int, out: int) -> nn.Module:
        middle: Any = self._middle(into)
        return SeriesBody(middle, middle.width, out, last=self._last)


def _times(description: Description) -> Layout:
    lengths = {port.shape[0] for port in description.inputs if port.shape}
    if len(lengths) != 1:
        raise InvalidInput(
            f"A model of the kind '{description.kind}' takes series of one length, and got {sorted(lengths) or 'none'}.",
            hint='Such as { unit = "mm d-1", shape = [30] }, or [30, features].',
        )
    return Layout((lengths.pop(),), what="series")


def _fits(layout: Layout, shape: tuple[int, ...]) -> bool:
    return shape == layout.positions or (len(shape) == 2 and shape[:1] == layout.positions)
