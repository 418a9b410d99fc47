"""Trying again: longer pauses each time, spread by chance, and a warning that says what is wrong."""

from __future__ import annotations

import logging
import random
import threading

_LOG = logging.getLogger("gemel.sources")


class Backoff:
    """Pauses that double from `first` to `longest` seconds, each shortened by chance to between half and all of it.

    The chance keeps many clients of a server that came back from knocking all at once ("equal jitter": M. Brooker,
    Exponential Backoff and Jitter, AWS Architecture Blog, 2015).
    """

    def __init__(self, name: str, first: float = 0.5, longest: float = 60.0) -> None:
        self._name, self._first, self._longest = name, first, longest
        self._next = first

    def calm(self) -> None:
        """Begin again with the shortest pause: it works."""
        self._next = self._first

    def pause(self, stop: threading.Event, problem: BaseException | str, after: float | None = None) -> bool:
        """Say what is wrong, wait, and return whether to stop.

        Args:
            stop: Ends the pause.
            problem: What is wrong.
            after: Seconds that the other side asked for (`Retry-After`); at most an hour is waited.
        """
        seconds = self._next * random.uniform(0.5, 1.0) if after is None else min(max(after, 0.0), 3600.0)
        _LOG.warning("Source '%s' tries again in %.1f s: %s", self._name, seconds, problem)
        self._next = min(2 * self._next, self._longest)
        return stop.wait(seconds)
