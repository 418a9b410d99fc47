"""HTTP third-party copy (WLCG): one server is asked to COPY, and bytes go from server to server, a token for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gemel.base.errors import Denied, GemelError, NotFound, ResultCorrupt, StoreFull, StoreUnavailable
from gemel.infra.lake.storages import HttpStorage, Storage, WebdavStorage
from gemel.infra.lake.transport._digests import LENGTHS, Sightings
from gemel.infra.lake.transport._hashing import Progress
from gemel.infra.lake.transport._leg import Arrived, Leg, WayClosed
from gemel.infra.lake.transport._reading import read_whole

_SIGNED_SECONDS = 12 * 3600  # that a signed address of a source stays good
_LINE_BYTES = 64 << 10
_AGAIN_SECONDS = 30.0  # after a failed copy: its cause may pass, as when a server starts again
_MOVED = re.compile(r"\s*Stripe Bytes Transferred:\s*(\d+)", re.IGNORECASE)
_STATUS = re.compile(r"status(?: code)?:?\s*(\d{3})", re.IGNORECASE)
# Statuses by which servers say that they know no third-party copy: rclone 400 and (RFC 4918, 9.8.5) 502, nginx 405.
_UNKNOWN = (400, 405, 415, 501, 502)


class Pull:
    """The destination is asked to fetch the file."""

    name = "pull"

    def reason(self, leg: Leg) -> str | None:
        """Return that the destination can fetch, when it can and the source has an address for it."""
        if not isinstance(leg.target, WebdavStorage) or "pull" not in leg.target.copies:
            return None
        if not isinstance(leg.source, HttpStorage) and leg.source.signed(leg.source_path, _SIGNED_SECONDS) is None:
            return None
        return f"'{leg.target.name}' fetches it from '{leg.source.name}' by itself"

    def carry(self, leg: Leg, progress: Progress) -> Arrived:
        """Return what arrived, after the destination told its digest or was read back."""
        target = _webdav(leg.target)
        sightings, size = facts(leg)
        with target.staged(leg.target_path) as staging:
            headers = target.authorisation("write", staging) | {"Credential": "none", "Overwrite": "T"}
            _copied(leg, target, staging, headers | _source(leg), progress)
            return compared(leg, staging, sightings, size, progress)


class Push:
    """The source is asked to send the file."""

    name = "push"

    def reason(self, leg: Leg) -> str | None:
        """Return that the source can send, when both speak WebDAV."""
        if not isinstance(leg.source, WebdavStorage) or not isinstance(leg.target, WebdavStorage):
            return None
        return f"'{leg.source.name}' sends it to '{leg.target.name}' by itself" if "push" in leg.source.copies else None

    def carry(self, leg: Leg, progress: Progress) -> Arrived:
        """Return what arrived, after the destination told its digest or was read back."""
        source, target = _webdav(leg.source), _webdav(leg.target)
        sightings, size = facts(leg)
        with target.staged(leg.target_path) as staging:
            headers = source.authorisation("read", leg.source_path) | {"Credential": "none", "Overwrite": "T"}
            headers |= {"Destination": target.url(staging)} | _handed_on(target.authorisation("write", staging))
            _copied(leg, source, leg.source_path, headers, progress)
            return compared(leg, staging, sightings, size, progress)


def _webdav(storage: Storage) -> WebdavStorage:
    assert isinstance(storage, WebdavStorage)
    return storage


def facts(leg: Leg) -> tuple[Sightings, int]:
    """Return what is known of the file, its source asked where it is not: who lies is found out before or after."""
    sightings, size = Sightings(leg.what, leg.digests), leg.source.size(leg.source_path)
    if leg.size is not None and size != leg.size:
        raise ResultCorrupt(f"{leg.what} has {size} bytes on storage '{leg.source.name}', not {leg.size}.")
    told = {name: leg.source.digest(leg.source_path, name) for name in LENGTHS}
    sightings.add("source", told)
    return sightings, size


def _source(leg: Leg) -> dict[str, str]:
    if isinstance(leg.source, HttpStorage):
        handed = _handed_on(leg.source.authorisation("read", leg.source_path))
        # Of an asset of a catalogue, the address may hold a signature that its plain form leaves out.
        address = leg.source.signed(leg.source_path, _SIGNED_SECONDS) or leg.source.url(leg.source_path)
        return {"Source": address} | handed
    return {"Source": leg.source.signed(leg.source_path, _SIGNED_SECONDS) or ""}


def _handed_on(headers: dict[str, str]) -> dict[str, str]:
    return {f"TransferHeader{name}": value for name, value in headers.items()}


def _copied(leg: Leg, asked: WebdavStorage, path: str, headers: dict[str, str], progress: Progress) -> None:
    try:
        with asked.ask("COPY", path, headers=headers) as answer:
            told = _followed(answer.iter_lines(), progress)
    except StoreUnavailable as error:
        if error.context.get("status") in _UNKNOWN:
            raise WayClosed(
                f"'{asked.name}' knows no third-party copy (status {error.context['status']})", 3600
            ) from error
        raise
    if told is None:
        raise StoreUnavailable(f"Storage '{asked.name}' broke off while {leg.what} was copied.", hint="Try again.")
    if told:
        raise _failure(leg, asked, told)


def _followed(lines: Iterable[str], progress: Progress) -> str | None:
    """Return what a copy's last line tells: empty for success, else the reason; None when there is no last line.

    The status of the answer tells nothing: it is sent before the copy begins.

    >>> _followed(["Perf Marker", "  Stripe Bytes Transferred: 7", "End", "failure: no space"], print)
    7
    'no space'
    """
    for line in _bounded(lines):
        found = _MOVED.match(line)
        if found:
            progress(int(found[1]))
        verdict, _, reason = line.strip().partition(":")
        if verdict.lower() == "success":
            return ""
        if verdict.lower() in ("failure", "failed"):
            return reason.strip() or "no reason is told"
    return None


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line[:_LINE_BYTES]


def _failure(leg: Leg, asked: Storage, told: str) -> Exception:
    """Return the error that a failure line means."""
    status = int(found[1]) if (found := _STATUS.search(told)) else 0
    other = leg.source if asked is leg.target else leg.target
    message = f"{leg.what} was not copied from '{leg.source.name}' to '{leg.target.name}': {told[:300]}"
    kinds: dict[int, type[GemelError]] = {401: Denied, 403: Denied, 404: NotFound, 507: StoreFull}
    if status in kinds:
        hint = f"Does the token of storage '{other.name}' allow it?" if status in (401, 403) else None
        return kinds[status](message, hint=hint, storage=other.name)
    return WayClosed(message, _AGAIN_SECONDS)


def compared(leg: Leg, staging: str, sightings: Sightings, size: int, progress: Progress) -> Arrived:
    """Return what lies under a staging name once its size and a digest agree; read back where none can be asked for.

    Raises:
        ResultCorrupt: They do not agree.
    """
    there = leg.target.size(staging)
    if there != size:
        raise ResultCorrupt(f"{leg.what} came to storage '{leg.target.name}' with {there} bytes, not {size}.")
    told = {name: leg.target.digest(staging, name) for name in LENGTHS}
    agreed = sightings.add("destination", told)
    if not agreed and (sightings.expected.keys() - told.keys() or not any(told.values())):
        back = read_whole(leg.target, staging, sightings.expected, size, lambda _: progress(size), leg.what)
        sightings.add("stream", back.digests)
    return Arrived(size, sightings.fresh(), sightings.confirmed())
