"""What an instance keeps between calls: made once, however many calls want it at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_T = TypeVar("_T")
_kept: dict[Hashable, Any] = {}
_making: dict[Hashable, threading.Lock] = {}
_guard = threading.Lock()


def kept(key: Hashable, make: Callable[[], _T]) -> _T:
    """Return what `make` returned when `key` was first asked for in this process: a loaded model, an open table.

    In a function it lives as long as the instance does. When `make` raises, nothing is kept and the next call tries again.

    >>> kept("model", lambda: {"weights": 3}) is kept("model", dict)
    True
    """
    with _guard:
        lock = _making.setdefault(key, threading.Lock())
    with lock:
        if key not in _kept:
            _kept[key] = make()
        found: _T = _kept[key]
        return found
