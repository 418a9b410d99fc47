"""Tokens of agents: each opens one storage for a while, and nothing else of the engine."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gemel.base.errors import Denied, InvalidInput, StoreUnavailable, Unauthenticated
from gemel.infra.lake.tokens import Macaroon

_LOCATION = "gemel-agent"
_LONGEST = timedelta(days=366)
_HINT = "gemel data agent-token STORAGE"


class AgentKeys:
    """The engine's secret for agents, and the macaroons that it signs.

    Args:
        home: The engine's folder; the secret lies below it, readable by its owner alone.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "keys" / "site-agents.key"

    def minted(self, storage: str, lasting: timedelta) -> tuple[str, str]:
        """Return a token for the agent of a storage, and when it ends (ISO 8601, UTC).

        Raises:
            InvalidInput: It would last for more than a year, or for no time.
            StoreUnavailable: The key cannot be made or read.
        """
        if not timedelta(0) < lasting <= _LONGEST:
            raise InvalidInput(f"An agent's token lasts for {_LONGEST.days} days at most, and more than no time.")
        ends = f"{datetime.now(UTC) + lasting:%Y-%m-%dT%H:%M:%SZ}"
        caveats = [f"storage:{storage}", f"before:{ends}"]
        return Macaroon.mint(self._key(), _LOCATION, secrets.token_urlsafe(12), caveats).text, ends

    def require(self, shown: str, storage: str) -> None:
        """Return nothing when a token allows to be the agent of a storage now.

        Raises:
            Unauthenticated: It is none of ours, or over.
            Denied: It is for another storage, or has a caveat that is not understood.
        """
        try:
            macaroon = Macaroon.parse(shown)
            known = macaroon.verified(self._key())
        except InvalidInput:
            known = False
        if not known:
            raise Unauthenticated("The token is no agent's token of this engine.", hint=_HINT)
        storages, ends = _meaning(macaroon)
        if not ends or min(ends) <= time.time():
            raise Unauthenticated("The agent's token was for a while that is over.", hint=_HINT)
        if storages != {storage}:
            raise Denied(f"The token is not for the agent of storage '{storage[:60]}'.", hint=_HINT)

    def _key(self) -> bytes:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._path.exists():
                _make(self._path)
            if self._path.stat().st_mode & 0o077:
                raise StoreUnavailable(f"Others can read {self._path}.", hint=f"chmod 600 {self._path}")
            key = bytes.fromhex(self._path.read_text(encoding="ascii").strip())
        except StoreUnavailable:
            raise
        except (OSError, ValueError) as error:
            raise StoreUnavailable(f"The key {self._path} cannot be made or read.", hint=str(error)) from error
        if len(key) < 32:
            raise StoreUnavailable(f"The key {self._path} is too short.", hint=f"rm {self._path}")
        return key


def _meaning(macaroon: Macaroon) -> tuple[set[str], list[float]]:
    """Return the storages and the ends that caveats name; a token must name exactly one storage, and an end."""
    storages: set[str] = set()
    ends: list[float] = []
    for caveat in macaroon.caveats:
        kind, _, value = caveat.partition(":")
        if kind == "storage":
            storages.add(value)
        elif kind == "before":
            ends.append(_instant(value))
        else:
            raise Denied(f"The caveat '{kind[:40]}:' is not understood here.", hint="storage:, before:")
    return storages, ends


def _instant(value: str) -> float:
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise Denied("A caveat says no time that is understood here.", hint="before:2026-01-31T12:00:00Z") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _make(path: Path) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".key-") as fresh:  # mode 0600
        fresh.write(secrets.token_hex(32))
        fresh.flush()
        # A link appears whole or not at all: of two that start together, one makes the key and both read it.
        with contextlib.suppress(FileExistsError):
            os.link(fresh.name, path)
