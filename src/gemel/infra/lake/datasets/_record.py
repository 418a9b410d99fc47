"""What is known of one file, dataset or container, and of each of its replicas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gemel.base.clock import iso
from gemel.infra.lake.datasets._names import Name
from gemel.infra.lake.transport import Digest

RANKS = {"file": 0, "dataset": 1, "container": 2}
ARRIVING, HERE, LEAVING, BAD = "arriving", "here", "leaving", "bad"


@dataclass(frozen=True)
class Replica:
    """One copy of a file: on which storage, under which path, in which state."""

    id: str
    name: Name
    storage: str
    path: str
    state: str
    verified: float | None = None
    used: float | None = None

    @property
    def own(self) -> bool:
        """Return whether gemel wrote it; a file that was only registered is somebody else's."""
        return self.path == self.name.path(self.id.rpartition("-")[2])


@dataclass(frozen=True)
class Record:
    """What is known of a file, a dataset or a container.

    Attributes:
        name: Its name.
        kind: `file`, `dataset` or `container`.
        state: `verified` once its bytes were read whole and agreed with its digests, else `unverified`.
        size: Bytes of a file.
        licence: As SPDX names it.
        expires: Seconds since 1970-01-01 UTC; None for ever.
        metadata: JSON members.
        created: Seconds since 1970-01-01 UTC.
        digests: By algorithm.
        members: Names of what it holds.
        replicas: Copies that are whole.
    """

    name: Name
    kind: str
    state: str
    size: int | None = None
    licence: str | None = None
    expires: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    digests: Mapping[str, Digest] = field(default_factory=dict)
    members: tuple[Name, ...] = ()
    replicas: tuple[Replica, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        digests = {
            name: {"value": item.value, "origin": item.origin, "confirmed": _told(item.confirmed)}
            for name, item in self.digests.items()
        }
        shown = [{"storage": item.storage, "path": item.path, "state": item.state} for item in self.replicas]
        facts: dict[str, Any] = {"name": str(self.name), "kind": self.kind, "state": self.state, "size": self.size}
        facts |= {"licence": self.licence, "expires": _told(self.expires), "metadata": dict(self.metadata)}
        members = [str(member) for member in self.members]
        return facts | {"created": _told(self.created), "digests": digests, "members": members, "replicas": shown}


def _told(seconds: float | None) -> str | None:
    return None if seconds is None else iso(datetime.fromtimestamp(seconds, UTC))
