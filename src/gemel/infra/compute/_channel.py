"""What a function running in a process of its own tells the engine while it runs."""

from __future__ import annotations

import os
import struct
import threading
from typing import Any

import cloudpickle

HEADER = struct.Struct("<Q")
_lock = threading.Lock()
_descriptor: int | None = None


def connect(descriptor: int) -> None:
    """Send everything from now on to `descriptor`, the engine's end of a pipe."""
    global _descriptor
    _descriptor = descriptor


def tell_engine(kind: str, *content: Any) -> None:
    """Send one frame to the engine; nothing happens where no engine listens.

    Args:
        kind: `started`, `progress` (fraction, message), `log` (time, level, text), `result` or `error` (one value).
        *content: What that kind carries.
    """
    if _descriptor is None:
        return
    frame = cloudpickle.dumps((kind, content))
    view = memoryview(HEADER.pack(len(frame)) + frame)
    with _lock:
        while view:
            view = view[os.write(_descriptor, view) :]
