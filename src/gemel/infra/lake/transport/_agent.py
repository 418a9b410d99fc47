"""Bytes that a site's agent fetches or sends by itself: they pass neither this process nor any door of the site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from gemel.base.errors import GemelError, StoreUnavailable
from gemel.infra.lake.storages import HttpStorage, Storage, WebdavStorage
from gemel.infra.lake.transport._digests import LENGTHS, Sightings
from gemel.infra.lake.transport._hashing import Progress, Seen
from gemel.infra.lake.transport._leg import Arrived, Leg, WayClosed
from gemel.infra.lake.transport._third_party import compared, facts

_SECONDS = 12 * 3600  # that a signed address or a token for one file stays good
_AGAIN_SECONDS = 30.0  # after which a site that could not reach the other side is asked again


@runtime_checkable
class Courier(Protocol):
    """A storage with somebody there who fetches and sends."""

    reachable: bool

    def fetch_from(
        self, path: str, address: str, headers: Mapping[str, str], wanted: Seen, progress: Callable[[int], None]
    ) -> Seen:
        """Return what was fetched from an address."""
        ...

    def send_to(self, path: str, address: str, headers: Mapping[str, str], progress: Callable[[int], None]) -> Seen:
        """Return what was sent to an address."""
        ...


class Agent:
    """The agent of a site fetches from the source, or sends to the target, with a token for that."""

    name = "agent"

    def reason(self, leg: Leg) -> str | None:
        """Return who goes, when one side has an agent and the other an address and a token that may be handed on."""
        if isinstance(leg.target, Courier) and leg.target.reachable and _may_be_read(leg):
            return f"the agent of '{leg.target.name}' fetches it from '{leg.source.name}'"
        if isinstance(leg.source, Courier) and leg.source.reachable and isinstance(leg.target, WebdavStorage):
            return f"the agent of '{leg.source.name}' sends it to '{leg.target.name}'"
        return None

    def carry(self, leg: Leg, progress: Progress) -> Arrived:
        """Return what arrived, after the digests of both ends agreed."""
        try:
            return _fetched(leg, progress) if isinstance(leg.target, Courier) else _sent(leg, progress)
        except StoreUnavailable as error:
            if error.context.get("reach"):
                raise WayClosed(error.message.rstrip("."), _AGAIN_SECONDS) from error
            raise


def _fetched(leg: Leg, progress: Progress) -> Arrived:
    assert isinstance(leg.target, Courier)
    sightings, size = facts(leg)
    address, headers = _source(leg)
    seen = leg.target.fetch_from(leg.target_path, address, headers, Seen(size, dict(sightings.expected)), progress)
    sightings.add("stream", seen.digests)
    # Read again from the folder, so that what was written is compared, and not only what came.
    told = {name: leg.target.digest(leg.target_path, name) for name in LENGTHS if name in seen.digests}
    sightings.add("destination", told)
    return Arrived(seen.size, sightings.fresh(), sightings.confirmed())


def _sent(leg: Leg, progress: Progress) -> Arrived:
    assert isinstance(leg.source, Courier) and isinstance(leg.target, WebdavStorage)
    sightings = Sightings(leg.what, leg.digests)
    with leg.target.staged(leg.target_path) as staging:
        headers = leg.target.authorisation("write", staging)
        _require_bearer(leg.target, headers)
        seen = leg.source.send_to(leg.source_path, leg.target.url(staging), headers, progress)
        sightings.add("stream", seen.digests)
        return compared(leg, staging, sightings, seen.size, progress)


def _may_be_read(leg: Leg) -> bool:
    if isinstance(leg.source, HttpStorage):
        return True
    try:
        return leg.source.signed(leg.source_path, _SECONDS) is not None
    except GemelError:
        return False


def _source(leg: Leg) -> tuple[str, dict[str, str]]:
    if isinstance(leg.source, HttpStorage):
        headers = leg.source.authorisation("read", leg.source_path)
        _require_bearer(leg.source, headers)
        return leg.source.url(leg.source_path), headers
    return leg.source.signed(leg.source_path, _SECONDS) or "", {}


def _require_bearer(storage: Storage, headers: Mapping[str, str]) -> None:
    # A token can be made for one file; a password opens all, and stays here.
    if not headers.get("Authorization", "Bearer ").startswith("Bearer "):
        raise WayClosed(f"the password of '{storage.name}' is not handed to an agent", 3600)
