"""Layouts: how ports lie in the one tensor that a network takes or gives, (sample, *positions, channel)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gemel.base.errors import InvalidInput
from gemel.core.learn.samples import Port


@dataclass(frozen=True)
class Layout:
    """Positions that ports share, such as cells of a grid, times or nodes; none for plain vectors.

    Attributes:
        positions: Their shape; empty: ports are flattened into one vector.
        channel_first: Whether a port of several channels has them before the positions (fields) or after (series, nodes).
        what: What positions are, for messages.
    """

    positions: tuple[int, ...] = ()
    channel_first: bool = False
    what: str = "positions"

    def channels(self, port: Port, *, broadcast: bool = False) -> int:
        """Return how many channels a port takes.

        Args:
            port: Port to be laid out.
            broadcast: Whether a single number may stand for the same number everywhere.

        Raises:
            InvalidInput: The port has another shape.
        """
        if not self.positions:
            return port.size
        if port.shape == self.positions or (broadcast and port.shape == ()):
            return 1
        place = port.shape[1:] if self.channel_first else port.shape[:-1]
        if port.shape and place == self.positions:
            return port.shape[0] if self.channel_first else port.shape[-1]
        many = ("channels", *self.positions) if self.channel_first else (*self.positions, "channels")
        raise InvalidInput(
            f"Port '{port.name}' has shape {port.shape}; this model has {self.what} of shape {self.positions}.",
            hint=f"The shape of a port is {self.positions} or ({', '.join(map(str, many))}).",
        )

    def pooled(self, port: Port) -> tuple[int, ...]:
        """Return the axes of a port's array that are positions: they share a scale."""
        if not self.positions or port.shape == ():
            return ()
        first = 2 if self.channel_first and port.shape != self.positions else 1
        return tuple(range(first, first + len(self.positions)))

    def packed(self, ports: Sequence[Port], values: Mapping[str, Tensor]) -> Tensor:
        """Return the arrays of ports as one tensor (sample, *positions, channel)."""
        parts = [self._in(port, values[port.name]) for port in ports]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    def unpacked(self, ports: Sequence[Port], widths: Sequence[int], whole: Tensor) -> dict[str, Tensor]:
        """Return what a network gave, (sample, *positions, channel), as (sample, *shape, width) by port."""
        counts = [self.channels(port) for port in ports]
        parts = torch.split(whole, [count * width for count, width in zip(counts, widths, strict=True)], dim=-1)
        return {
            port.name: self._out(port, part, count, width)
            for port, part, count, width in zip(ports, parts, counts, widths, strict=True)
        }

    def _in(self, port: Port, values: Tensor) -> Tensor:
        if not self.positions:
            return values.reshape(values.shape[0], port.size)
        if port.shape == ():
            spread = values.reshape(-1, *(1 for _ in self.positions), 1)
            return spread.expand(-1, *self.positions, -1)
        if port.shape == self.positions:
            return values.unsqueeze(-1)
        return values.movedim(1, -1) if self.channel_first else values

    def _out(self, port: Port, part: Tensor, count: int, width: int) -> Tensor:
        if not self.positions or port.shape == self.positions:
            return part.reshape(part.shape[0], *port.shape, width)
        spread = part.reshape(part.shape[0], *self.positions, count, width)
        return spread.movedim(-2, 1) if self.channel_first else spread


FLAT = Layout()
