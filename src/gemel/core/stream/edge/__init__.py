"""The far end of a thin line: events are filtered, packed and kept on a disk until the engine has them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gemel.core.stream.edge._buffer import EdgeBuffer, Stored
from gemel.core.stream.edge._filters import Filters

if TYPE_CHECKING:
    from gemel.core.stream.edge._forward import forward
    from gemel.core.stream.edge._station import Station

__all__ = ["EdgeBuffer", "Filters", "Station", "Stored", "forward"]
# What needs an HTTP client is loaded when it is first asked for.
_LATER = {"forward": "_forward", "Station": "_station"}


def __getattr__(name: str) -> object:
    """Return what is loaded later."""
    if name in _LATER:
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
