"""What people say of a dataset when they give it a name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypedDict

from gemel.infra.lake.transport import Progress


class Sure(TypedDict, total=False):
    """What is known of a stream before it is stored.

    Attributes:
        storage: Where to.
        size: In bytes.
        digests: Those it must have, by algorithm (`sha256`, `adler32`, `md5`).
        progress: Told how many bytes are done.
    """

    storage: str
    size: int | None
    digests: Mapping[str, str] | None
    progress: Progress | None


@dataclass(frozen=True)
class Facts:
    """What people say of a dataset.

    Attributes:
        metadata: JSON members.
        licence: As SPDX names it.
        lifetime: After it the dataset may go; None for ever.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    licence: str | None = None
    lifetime: timedelta | None = None

    def kept(self) -> dict[str, Any]:
        """Return them as members of a `Record`."""
        expires = None if self.lifetime is None else time.time() + self.lifetime.total_seconds()
        return {"metadata": self.metadata, "licence": self.licence, "expires": expires}
