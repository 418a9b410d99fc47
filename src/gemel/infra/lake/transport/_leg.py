"""One file's journey: where from, where to, what it must be; and what a way makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gemel.infra.lake.storages import Storage
from gemel.infra.lake.transport._digests import Digest
from gemel.infra.lake.transport._hashing import Progress


@dataclass(frozen=True)
class Leg:
    """A file to be carried.

    Attributes:
        what: Its name, for messages.
        source: Where it lies.
        source_path: Under which path.
        target: Where it is to be.
        target_path: Under which path; what is there is replaced once the new file is whole.
        size: In bytes; None when nobody said.
        digests: Those it must have, by algorithm.
    """

    what: str
    source: Storage
    source_path: str
    target: Storage
    target_path: str
    size: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrived:
    """A file that lies at its target, whole and compared.

    Attributes:
        size: In bytes.
        digests: Those that were not known before, with their origins.
        confirmed: Algorithms whose digest two readings agree on.
        way: How it came.
        reason: Why that way.
    """

    size: int
    digests: Mapping[str, Digest]
    confirmed: frozenset[str]
    way: str = ""
    reason: str = ""


class WayClosed(Exception):
    """A way cannot be taken, for a reason that another way may not share.

    Args:
        why: The reason, in words.
        seconds: How long it will stay closed, as far as one can tell.
    """

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.seconds = seconds


class Way(Protocol):
    """A way to carry a file.

    Attributes:
        name: Short, as it is recorded.
    """

    name: str

    def reason(self, leg: Leg) -> str | None:
        """Return why this way fits, or None when it does not."""
        ...

    def carry(self, leg: Leg, progress: Progress) -> Arrived:
        """Return what arrived; when it fails, nothing is left at the target that was not there before.

        Raises:
            WayClosed: Another way may still be taken.
            GemelError: No other way would help.
        """
        ...
