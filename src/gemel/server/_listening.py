"""Those who listen to event streams: threads of their own, so that however many there are, requests find theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import anyio.to_thread
from fastapi import Request

_T = TypeVar("_T")
_LISTENERS = 500  # each waits in a thread; further ones hear later, not never
_POSITION_DIGITS = 18  # of a number that a database takes
_limiters: list[anyio.CapacityLimiter] = []


async def listened(work: Callable[..., _T], *arguments: Any) -> _T:
    """Return what `work` returns, which may wait for a while."""
    if not _limiters:
        _limiters.append(anyio.CapacityLimiter(_LISTENERS))
    return await anyio.to_thread.run_sync(lambda: work(*arguments), limiter=_limiters[0])


def resumed(request: Request, otherwise: int) -> int:
    """Return the position that the header `Last-Event-ID` says, or `otherwise`."""
    seen = request.headers.get("last-event-id", "")
    return int(seen) if seen.isdecimal() and len(seen) <= _POSITION_DIGITS else otherwise
