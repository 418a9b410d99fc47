"""What an agent is asked to do, and how errors travel."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gemel.base.errors import (
    Denied,
    GemelError,
    InvalidInput,
    NotFound,
    ResultCorrupt,
    StoreFull,
    StoreUnavailable,
    Unauthenticated,
)
from gemel.infra.lake.agents._channel import Channel

#: What an agent can do; those that bring bytes to the engine, and those that take bytes from it.
VERBS = ("stat", "list", "read", "write", "delete", "digest", "fetch", "send")
WAITING, RUNNING, ENDED = "waiting", "running", "ended"
_KINDS: tuple[type[GemelError], ...] = (
    NotFound, Unauthenticated, Denied, StoreFull, ResultCorrupt, StoreUnavailable, InvalidInput,
)  # fmt: skip


class Interrupted(StoreUnavailable):
    """The agent went away in the middle, and what passed by cannot be had again: ask anew."""


@dataclass
class Task:
    """One task; it belongs to the exchange, which alone changes it.

    Attributes:
        id: Of the task.
        storage: Whose agent is to do it.
        verb: One of `VERBS`.
        details: JSON members that say what exactly; tokens among them are kept in memory alone.
        channel: For bytes, where some belong to it.
        state: `waiting`, `running` or `ended`.
        holder: The agent that has it.
        until: When its lease ends (monotonic seconds).
        attempts: How often an agent took it.
        done: Bytes that it is told to have moved.
        moved: When that last changed (monotonic seconds).
        begun: Whether bytes have passed the channel.
        result: What the agent answered.
        error: Why it failed.
    """

    id: str
    storage: str
    verb: str
    details: Mapping[str, Any] = field(repr=False)
    channel: Channel | None = None
    state: str = WAITING
    holder: str | None = None
    until: float = 0.0
    attempts: int = 0
    done: int = 0
    moved: float = field(default_factory=time.monotonic)
    begun: bool = False
    result: Mapping[str, Any] = field(default_factory=dict)
    error: GemelError | None = None

    def document(self) -> dict[str, Any]:
        """Return it as JSON for the agent that has it."""
        return {"id": self.id, "verb": self.verb, "attempt": self.attempts, **self.details}


def told(error: GemelError) -> dict[str, Any]:
    """Return an error as JSON.

    >>> told(NotFound("Nothing there."))
    {'code': 'not-found', 'message': 'Nothing there.', 'hint': None, 'reach': False}
    """
    return {
        "code": error.code, "message": error.message, "hint": error.hint, "reach": bool(error.context.get("reach")),
    }  # fmt: skip


def understood(document: Mapping[str, Any]) -> GemelError:
    """Return the error that a JSON object tells; one that is not known means that the storage fails.

    >>> understood({"code": "not-found", "message": "Nothing there."})
    NotFound('Nothing there.')
    """
    kind = next((item for item in _KINDS if item.code == document.get("code")), StoreUnavailable)
    hint = document.get("hint")
    message = str(document.get("message") or "The agent failed.")[:1000]
    return kind(message, hint=None if hint is None else str(hint)[:300], reach=bool(document.get("reach")))
