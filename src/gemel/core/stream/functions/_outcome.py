"""How an attempt at a call ended, and what an instance is to whoever calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

KEPT_LOG = 16_384  # bytes of what a call printed, from its end


@dataclass(frozen=True)
class Outcome:
    """What an attempt brought.

    Attributes:
        output: Its result, or None when it failed.
        error: `message`, `hint`, `code` of the failure; `permanent` where a further attempt cannot mend it.
        log: The end of what it printed.
    """

    output: bytes | None
    error: Mapping[str, Any] | None = None
    log: str = ""


@dataclass(frozen=True)
class Asked:
    """A call as an instance gets it: its id and its input."""

    id: str
    data: bytes


class Instance(Protocol):
    """Answers one call after another, and can be stopped at any time."""

    def warm(self, stopped: Callable[[], bool]) -> None:
        """Get ready, where that takes a while; a failure is told by the next call."""

    def run(self, asked: Asked, stopped: Callable[[], bool]) -> Outcome:
        """Return how a call ended.

        Raises:
            Stopped: `stopped` became true; the call is as good as never begun.
        """

    def close(self) -> None:
        """End it, with whatever it started."""


def failed(message: str, code: str, *, hint: str | None = None, permanent: bool = False, log: str = "") -> Outcome:
    """Return the outcome of an attempt that failed."""
    return Outcome(None, {"message": message, "hint": hint, "code": code, "permanent": permanent}, log)
