"""A request as its handler gets it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from gemel.core.stream.functions import Functions


@dataclass(frozen=True)
class Asked:
    """What is asked, and of whom.

    Attributes:
        functions: Of the engine.
        path: Parameters of the path.
        query: Of the query string.
        body: The whole of it.
        stopping: Set once the server ends, or None.
    """

    functions: Functions
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    stopping: threading.Event | None

    @property
    def name(self) -> str:
        """Return the name of the service."""
        return self.path["name"]
