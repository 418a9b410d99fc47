"""Bytes that pass through this process, hashed on their way: the way that is open between any two storages."""

from __future__ import annotations

from gemel.base.errors import ResultCorrupt
from gemel.infra.lake.storages import LocalStorage, Readable
from gemel.infra.lake.transport._digests import LENGTHS, Sightings
from gemel.infra.lake.transport._hashing import Hashed, Progress
from gemel.infra.lake.transport._leg import Arrived, Leg
from gemel.infra.lake.transport._reading import opened, read_whole


class Streaming:
    """Reads from one storage and writes to the other."""

    name = "stream"

    def reason(self, leg: Leg) -> str:
        """Return which storage does not speak for itself."""
        local = next((item.name for item in (leg.source, leg.target) if isinstance(item, LocalStorage)), None)
        return f"'{local}' is a folder of this machine" if local else "no third-party copy between these two"

    def carry(self, leg: Leg, progress: Progress) -> Arrived:
        """Return what arrived, after the target told its digest or was read back."""
        with opened(leg.source, leg.source_path) as source:
            return written(leg, source, progress)


def written(leg: Leg, source: Readable, progress: Progress, *, prove: bool = True) -> Arrived:
    """Return what a stream brought to a leg's target.

    Args:
        leg: Where to, and what it must be.
        source: The bytes.
        progress: Told how many have passed.
        prove: Whether to read back what lies where no digest is told.

    Raises:
        ResultCorrupt: Something is not as expected; nothing is left.
    """
    sightings = Sightings(leg.what, leg.digests)
    with Hashed(source, leg.digests, leg.size, progress, leg.what) as stream:
        leg.target.write(leg.target_path, stream, leg.size)
        seen = stream.seen()
    sightings.add("stream", seen.digests)
    kept = leg.target.size(leg.target_path)
    if kept != seen.size:
        raise ResultCorrupt(f"Storage '{leg.target.name}' kept {leg.what} with {kept} bytes, not {seen.size}.")
    told = {name: leg.target.digest(leg.target_path, name) for name in LENGTHS if name in seen.digests}
    if not sightings.add("destination", told) and prove:
        # Progress stays where it is, and yet is told: somebody is at work, and may be asked to stop.
        back = read_whole(leg.target, leg.target_path, seen.digests, seen.size, lambda _: progress(seen.size), leg.what)
        sightings.add("destination", back.digests)
    return Arrived(seen.size, sightings.fresh(), sightings.confirmed())
