"""The mover: a durable queue of transfers between storages, and the workers that carry them."""

from gemel.infra.lake.mover._mover import Mover, Patience
from gemel.infra.lake.mover._queue import OPEN, STATES, Queue, Transfer

__all__ = ["OPEN", "STATES", "Mover", "Patience", "Queue", "Transfer"]
