"""Who may do what: whoever holds the engine's token everything, whoever holds a macaroon of ours what its caveats say."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gemel.base.errors import Denied, InvalidInput, StoreUnavailable, Unauthenticated
from gemel.faces.storage._places import PREFIX, Spot
from gemel.infra.access import Actor
from gemel.infra.lake.tokens import Macaroon

LOCATION = "gemel"
#: What can be granted, in the words of dCache and XRootD; each of them implies READ_METADATA.
ACTIVITIES = ("DOWNLOAD", "UPLOAD", "DELETE", "MANAGE", "LIST", "READ_METADATA", "UPDATE_METADATA")
_LONGEST = timedelta(days=7)
_USUAL = "PT1H"
_DURATION = re.compile(r"P(?:(\d{1,4})D)?(?:T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,9})S)?)?")
_ANY = frozenset(ACTIVITIES)


@dataclass(frozen=True)
class Grant:
    """What one request may do.

    Attributes:
        activities: Allowed ones.
        below: Places, each of which must hold whatever is touched.
        macaroon: That says so; None for the engine's own token.
    """

    activities: frozenset[str]
    below: tuple[str, ...] = ()
    macaroon: Macaroon | None = None

    def require(self, spot: Spot, *activities: str) -> None:
        """Return nothing when all the activities are allowed at a place.

        Raises:
            Denied: They are not.
        """
        for place in self.below:
            if spot.place != place and not spot.place.startswith(f"{place.rstrip('/')}/"):
                raise Denied(f"The token reaches what lies below '{place}', not '{spot.place}'.")
        for activity in activities:
            held = bool(self.activities) if activity == "READ_METADATA" else activity in self.activities
            if not held:
                raise Denied(f"The token does not allow {activity}.", hint="Ask for a wider one.")


class Keys:
    """The element's secret, its macaroons and their meaning.

    Args:
        home: The engine's folder; the secret lies below it, readable by its owner alone.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "keys" / "storage-element.key"

    def grant(self, actor: Actor, authorization: str) -> Grant:
        """Return what a request may do.

        Args:
            actor: As the server's gate knows it.
            authorization: The header.

        Raises:
            Unauthenticated: Nothing is shown that would be known here, or it is over.
        """
        if actor.is_owner:
            return Grant(_ANY)
        if actor.id == "link":
            return Grant(frozenset({"DOWNLOAD"}))
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise Unauthenticated("This storage asks for a token.", hint="Send it as: Authorization: Bearer …")
        try:
            macaroon = Macaroon.parse(text.strip())
            known = macaroon.verified(self._key())
        except InvalidInput:
            known = False
        if not known:
            raise Unauthenticated("The token is not known here.", hint="Is it this storage's, and whole?")
        return granted(macaroon)

    def minted(self, grant: Grant, spot: Spot, wanted: Sequence[str], validity: str | None) -> tuple[Macaroon, str]:
        """Return a macaroon for a place and everything below it, and when it ends.

        Args:
            grant: Of whoever asks; what a macaroon allows is narrowed, never widened.
            spot: The place.
            wanted: Caveats: `activity:`, and more of `path:` and `before:`.
            validity: ISO 8601 duration; an hour where nothing is said.

        Raises:
            InvalidInput: A caveat would not be understood here, none says which activities, or it lasts too long.
        """
        if not any(caveat.startswith("activity:") for caveat in wanted):
            raise InvalidInput("A macaroon says what may be done.", hint=f"activity: with {', '.join(ACTIVITIES)}")
        ends = f"{datetime.now(UTC) + _duration(validity or _USUAL):%Y-%m-%dT%H:%M:%SZ}"
        caveats = [f"path:{spot.place}", *wanted, f"before:{ends}"]
        # Reading them now shows the asker what later would only be refused.
        _meaning(caveats, strict=True)
        if grant.macaroon is not None:
            return grant.macaroon.attenuated(caveats), ends
        return Macaroon.mint(self._key(), LOCATION, secrets.token_urlsafe(12), caveats), ends

    def _key(self) -> bytes:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._path.exists():
                _make(self._path)
            if self._path.stat().st_mode & 0o077:
                raise StoreUnavailable(f"Others can read {self._path}.", hint=f"chmod 600 {self._path}")
            key = bytes.fromhex(self._path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            if isinstance(error, StoreUnavailable):
                raise
            raise StoreUnavailable(f"The key {self._path} cannot be made or read.", hint=str(error)) from error
        if len(key) < 32:
            raise StoreUnavailable(f"The key {self._path} is too short.", hint=f"rm {self._path}")
        return key


def granted(macaroon: Macaroon) -> Grant:
    """Return what a macaroon of ours allows now; a caveat that is not understood allows nothing.

    Raises:
        Unauthenticated: It is over.
        Denied: A caveat is not understood.
    """
    try:
        activities, below, ends = _meaning(macaroon.caveats)
    except InvalidInput as error:
        raise Denied(error.message, hint=error.hint) from error
    if ends <= time.time():
        raise Unauthenticated("The token was for a while that is over.", hint="Ask for a new one.")
    return Grant(activities, below, macaroon)


def _meaning(caveats: Sequence[str], strict: bool = False) -> tuple[frozenset[str], tuple[str, ...], float]:
    held: frozenset[str] | None = None
    below: list[str] = []
    ends = float("inf")
    for caveat in caveats:
        kind, _, value = caveat.partition(":")
        if kind == "activity":
            named = frozenset(value.split(","))
            if strict and named - _ANY:
                raise InvalidInput(f"'{value[:80]}' is no list of activities.", hint=f"Known: {', '.join(ACTIVITIES)}.")
            held = (_ANY if held is None else held) & named
        elif kind == "path":
            below.append(_below(value))
        elif kind == "before":
            ends = min(ends, _instant(value))
        elif kind != "name":
            raise InvalidInput(f"The caveat '{kind[:40]}:' is not understood here.", hint="activity:, path:, before:")
    return held or frozenset(), tuple(below), ends


def _below(value: str) -> str:
    place = value.rstrip("/") or "/"
    if not value.startswith("/") or any(part in (".", "..") for part in value.split("/")):
        raise InvalidInput(f"'{value[:80]}' is no path for a caveat.", hint=f"Write it like {PREFIX}/home/folder.")
    return place


def _instant(value: str) -> float:
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidInput(f"'{value[:40]}' is no time for a caveat.", hint="2026-01-31T12:00:00Z") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        raise InvalidInput(f"'{text[:40]}' is no duration.", hint="ISO 8601: PT10M, P1D.")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not timedelta(0) < span <= _LONGEST:
        raise InvalidInput(f"A macaroon lasts for {_LONGEST.days} days at most, and more than no time.", hint=_USUAL)
    return span


def _make(path: Path) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".key-") as fresh:  # mode 0600
        fresh.write(secrets.token_hex(32))
        fresh.flush()
        # A link appears whole or not at all: of two that start together, one makes the key and both read it.
        with contextlib.suppress(FileExistsError):
            os.link(fresh.name, path)
