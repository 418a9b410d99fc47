"""Transport: ways for a file's bytes from one storage to another, each ending with digests that agree."""

from gemel.infra.lake.transport._carrier import Carrier
from gemel.infra.lake.transport._digests import (
    LENGTHS,
    Digest,
    Sightings,
    checked_digests,
    multihash,
)
from gemel.infra.lake.transport._hashing import Hashed, Progress, Seen
from gemel.infra.lake.transport._leg import Arrived, Leg, Way
from gemel.infra.lake.transport._reading import opened, read_whole, system_errors

__all__ = [
    "LENGTHS",
    "Arrived",
    "Carrier",
    "Digest",
    "Hashed",
    "Leg",
    "Progress",
    "Seen",
    "Sightings",
    "Way",
    "checked_digests",
    "multihash",
    "opened",
    "read_whole",
    "system_errors",
]
