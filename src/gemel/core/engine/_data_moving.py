"""Transfers between storages, asked for and told of in JSON documents."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from gemel.base.errors import InvalidInput, OutOfBounds, did_you_mean
from gemel.infra.lake.datasets import Name
from gemel.infra.lake.mover import OPEN, STATES
from gemel.infra.lake.parts import Lake

Document = dict[str, Any]
#: Is told how far something is: some of `bytes` done and `size` of them, `files` done and `of` how many, a `note`.
Told = Callable[[Mapping[str, Any]], None]
_PRIORITIES = 1000  # to both sides of none


class MovingService:
    """The mover, seen through documents.

    Args:
        lake: Whose mover.
    """

    def __init__(self, lake: Lake) -> None:
        self._mover = lake.mover

    def request(
        self, names: Iterable[str], storage: str, *, only: bool = False, priority: int = 0
    ) -> builtins.list[Document]:
        """Return transfers, queued now, that bring files (all, of groups) to a storage.

        Args:
            names: Of files or groups.
            storage: Where to.
            only: Whether other replicas go once the new one is there: a move.
            priority: Higher ones first.

        Raises:
            NotFound: There is no such dataset or storage.
            Denied: Nothing can be written there.
            OutOfBounds: The priority is beyond a thousand.
        """
        found = self._mover.request(names, storage, only=only, priority=checked_priority(priority))
        return [item.document() for item in found]

    def list(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        ids: Collection[str] | None = None,
        limit: int = 100,
    ) -> builtins.list[Document]:
        """Return transfers, the newest first.

        Args:
            state: One of `queued`, `running`, `done`, `failed`, `cancelled`; default all.
            name: Of the file.
            ids: Of the transfers.
            limit: Most of them.

        Raises:
            InvalidInput: There is no such state, or the name cannot be one.
        """
        if state is not None and state not in STATES:
            hint = did_you_mean(state, STATES) or f"One of: {', '.join(STATES)}."
            raise InvalidInput(f"'{state[:80]}' is not a state of transfers.", hint=hint)
        called = None if name is None else Name.parse(name)
        states = STATES if state is None else (state,)
        found = self._mover.queue.list(states, name=called, ids=ids, limit=limit)
        return [item.document() for item in found]

    def get(self, id: str) -> Document:
        """Return a transfer.

        Raises:
            NotFound: There is none.
        """
        return self._mover.queue.get(id).document()

    def cancel(self, id: str) -> Document:
        """Return a transfer that is cancelled, or will be as soon as its worker looks up; one that ended stays so.

        Raises:
            NotFound: There is none.
        """
        return self._mover.queue.cancel(id).document()

    def work(self, ids: Sequence[str], told: Told | None = None) -> builtins.list[Document]:
        """Return transfers after each has ended; whatever other workers do not take is done in this process.

        Raises:
            NotFound: There is no such transfer.
        """

        def progress(found: Sequence[Any]) -> None:
            if told is not None:
                told(progress_of([item.document() for item in found]))

        return [item.document() for item in self._mover.work(ids, progress=progress)]


def progress_of(transfers: Sequence[Mapping[str, Any]]) -> Document:
    """Return how far transfers are together: `bytes` of `size`, `files` of how many, and why one is tried again.

    >>> progress_of([{"state": "done", "size": 5, "moved": 0, "error": None}])
    {'bytes': 5, 'size': 5, 'files': 1, 'of': 1, 'note': None}
    """
    sizes = [item["size"] for item in transfers]
    moved = sum(item["size"] or 0 if item["state"] == "done" else item["moved"] for item in transfers)
    ended = sum(is_over(item) for item in transfers)
    waiting = next((item for item in transfers if item["state"] == "queued" and item["error"]), None)
    note = (
        waiting and f"'{waiting['name']}' is tried again (attempt {waiting['attempts']}): {waiting['error']['message']}"
    )
    size = None if None in sizes else sum(sizes)
    return {"bytes": moved, "size": size, "files": ended, "of": len(transfers), "note": note}


def is_over(transfer: Mapping[str, Any]) -> bool:
    """Return whether a transfer has ended, in whatever way."""
    return transfer["state"] not in OPEN


def checked_priority(priority: int) -> int:
    """Return a priority that can be one.

    Raises:
        OutOfBounds: It is too large or too small.
    """
    if not -_PRIORITIES <= priority <= _PRIORITIES:
        raise OutOfBounds(f"{priority} is not a priority.", hint=f"From -{_PRIORITIES} to {_PRIORITIES}.")
    return priority
