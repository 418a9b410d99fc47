"""gemel: an open digital twin engine for science.

Names are loaded when first used, so that ``import gemel`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gemel.core.graph import (
        Bounds,
        Dataset,
        Field,
        File,
        Graph,
        Model,
        Number,
        Process,
        Retry,
        Table,
        Unit,
        graph,
        process,
        progress,
    )
    from gemel.sdk import Client, connect

_HOMES = {
    **dict.fromkeys(
        (
            "Bounds",
            "Dataset",
            "Field",
            "File",
            "Graph",
            "Model",
            "Number",
            "Process",
            "Retry",
            "Table",
            "Unit",
            "graph",
            "process",
            "progress",
        ),
        "gemel.core.graph",
    ),
    **dict.fromkeys(("Client", "connect"), "gemel.sdk"),
}

__all__ = [
    "Bounds",
    "Client",
    "Dataset",
    "Field",
    "File",
    "Graph",
    "Model",
    "Number",
    "Process",
    "Retry",
    "Table",
    "Unit",
    "connect",
    "graph",
    "process",
    "progress",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gemel' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
