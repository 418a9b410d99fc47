"""The token broker: for each storage, operation and folder the least token that will do, from whoever gives it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import sqlalchemy as sql

from gemel.base.errors import ConfigInvalid, Denied, GemelError, Unauthenticated
from gemel.infra.lake.storages import Journal, TokenSource
from gemel.infra.lake.tokens._endpoint import Endpoints
from gemel.infra.lake.tokens._kinds import Kind, Tools
from gemel.infra.lake.tokens._profiles import Profile, Profiles
from gemel.infra.lake.tokens._token import Token, Wanted, wanted
from gemel.infra.lake.tokens._vault import Vault

# Seconds before its end from which a token is not handed out again: a request under way still ends in time, and a
# storage whose clock is ahead by less than this takes it; where it is ahead by more, its 401 brings a new one.
MARGIN = 60.0
_LEAST = 10.0  # seconds; a token that ends sooner is gone before it arrives
_SLOTS = 4096  # tokens that are held at a time, the longest unused go first


@dataclass
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    token: Token | None = None
    made: float = 0.0
    until: float = 0.0
    turn: int = 0
    failure: GemelError | None = None

    def lasts(self, seconds: float) -> bool:
        """Return whether the token lasts so long, by both clocks: one can be set back, the other sleeps at times."""
        if self.token is None or self.token.expires is None:
            return False
        return time.monotonic() + seconds < self.until and time.time() + seconds < self.token.expires


class Broker:
    """Tokens for storages, by profile; safe for threads.

    A token is asked for once for each storage, operation and folder, and used until a minute before its end. Whoever
    comes while it is asked for waits, and shares the answer or the failure. No token is written anywhere but rotated
    refresh tokens, which are sealed; none is shown in an error, a log or a `repr`.

    Args:
        journal: Where profiles are kept.
        tables: Of the journal, by name.
        home: The engine's folder.
        patience: Seconds that each step of a server's answer may take.
    """

    def __init__(self, journal: Journal, tables: Mapping[str, sql.Table], home: Path, patience: float = 10.0) -> None:
        self._endpoints = Endpoints(patience)
        tools = Tools(_Others(self), self._endpoints, Vault(journal, tables, home))
        self._profiles = Profiles(journal, tables, tools)
        self._slots: OrderedDict[tuple[object, ...], _Slot] = OrderedDict()
        self._lock = threading.Lock()

    def list(self) -> list[Profile]:
        """Return the declared profiles by name."""
        return self._profiles.list()

    def get(self, name: str) -> Profile:
        """Return a declared profile.

        Raises:
            NotFound: There is none.
        """
        return self._profiles.get(name)

    def add(self, name: str, kind: str, options: Mapping[str, str]) -> Profile:
        """Return a new profile.

        Args:
            name: Lower-case letters, digits, ``.``, ``_`` and ``-``.
            kind: `static`, `macaroon`, `client_credentials`, `refresh` or `exchange`.
            options: Of the kind; secrets as ``env:NAME`` or ``file:PATH``.

        Raises:
            InvalidInput: The name cannot be one.
            ConfigInvalid: There is no such kind, its options do not fit it, or it builds on itself.
            NotFound: It builds on a profile that is not there.
            Conflict: The name is taken.
        """
        return self._profiles.add(name, kind, options)

    def remove(self, name: str) -> None:
        """Forget a profile, and what it kept.

        Raises:
            NotFound: There is none.
            Conflict: A storage or another profile uses it.
        """
        self._profiles.remove(name)

    def token(self, profile: str, storage: str, operation: str, path: str) -> Token:
        """Return a token for an operation on a file of a storage.

        Args:
            profile: Name of the profile.
            storage: Name of the storage that will be shown the token.
            operation: `read`, `write` or `delete`.
            path: Of the file on the server, from its root; of a folder with a slash at the end.

        Raises:
            NotFound: There is no such profile.
            Unauthenticated: What the profile shows is not taken, or what it gives is expired.
            Denied: It may not have this.
            ConfigInvalid: Its options or its secrets do not fit.
            StoreUnavailable: Whoever gives the tokens cannot be reached.
        """
        return self.serve(wanted(profile, storage, operation, path))

    def fresh(self, profile: str, storage: str, operation: str, path: str, at_least: float) -> Token:
        """Return a token that lasts at least so many seconds, for a service that cannot ask for another one.

        Raises:
            Denied: The profile gives none that lasts so long, or none that says how long it lasts.
        """
        asked = wanted(profile, storage, operation, path, at_least)
        token = self.serve(asked)
        if token.expires is None:
            raise Denied(f"{asked.who} gives tokens that do not say how long they last.", **asked.context)
        if token.expires < time.time() + at_least:
            left = int(token.expires - time.time())
            hint = "Let it give longer ones, or let gemel move the file itself: it renews them."
            message = f"{asked.who} gives tokens for {left} s, and {at_least:g} s are wanted."
            raise Denied(message, hint=hint, **asked.context)
        return token

    def source(self, profile: str, storage: str) -> TokenSource:
        """Return what a storage asks for its tokens.

        Raises:
            NotFound: There is no such profile.
        """
        self.get(profile)
        return _Source(self, profile, storage)

    def serve(self, asked: Wanted) -> Token:
        """Return a token for what is wanted, one that is there already when it lasts."""
        kind, key = self._kind(asked)
        slot = self._slot(key)
        turn, needed = slot.turn, max(asked.seconds or 0.0, MARGIN)
        with slot.lock:
            if slot.lasts(needed) and slot.token is not None:
                return slot.token
            if slot.turn != turn and slot.failure is not None:
                raise _again(slot.failure)
            slot.turn, slot.failure, slot.token = slot.turn + 1, None, None
            began = time.monotonic(), time.time()
            try:
                token = kind.ask(asked)
                _require_life(asked, token)
            except GemelError as error:
                # Without its traceback, which would keep what is secret in the frames alive.
                slot.failure = _again(error)
                if isinstance(error, Unauthenticated):
                    self._drop_below(kind, asked)
                raise
            if kind.cached and token.expires is not None:
                slot.token, slot.made, slot.until = token, began[0], began[0] + token.expires - began[1]
            return token

    def another(self, asked: Wanted, refused: str, age: float) -> Token | None:
        """Return a token in place of one that was refused, or None when it was got less than `age` seconds ago."""
        kind, key = self._kind(asked)
        slot = self._slot(key)
        with slot.lock:
            known = slot.token is not None and slot.token.value == refused
            if age and (slot.token is None or (known and time.monotonic() - slot.made < age)):
                return None
            if known:
                slot.token = None
                self._drop_below(kind, asked)
        token = self.serve(asked)
        return token if token.value != refused else None

    def _drop_below(self, kind: Kind, asked: Wanted) -> None:
        """Give up the tokens that the refused one was made from: one of them may have been withdrawn."""
        for name in kind.uses:
            under = _next(name, asked)
            kind_below, key = self._kind(under)
            slot = self._slot(key)
            with slot.lock:
                slot.token = None
            self._drop_below(kind_below, under)

    def scope(self, asked: Wanted) -> str:
        """Return what the tokens of a profile differ by."""
        profile = self._profiles.get(asked.profile)
        return f"{asked.profile} {profile.created}: {self._profiles.kind(profile).scope(asked)}"

    def close(self) -> None:
        """Forget all tokens and let connections go."""
        with self._lock:
            self._slots.clear()
        self._endpoints.close()

    def _kind(self, asked: Wanted) -> tuple[Kind, tuple[object, ...]]:
        profile = self._profiles.get(asked.profile)
        kind = self._profiles.kind(profile)
        return kind, (asked.profile, profile.created, asked.storage, asked.operation, kind.scope(asked))

    def _slot(self, key: tuple[object, ...]) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > _SLOTS:
                self._slots.popitem(last=False)
            return slot


@dataclass(frozen=True)
class _Others:
    """One profile's way to another; never in a circle."""

    broker: Broker

    def token(self, name: str, wanted: Wanted) -> str:
        return self.broker.serve(_next(name, wanted)).value

    def scope(self, name: str, wanted: Wanted) -> str:
        return self.broker.scope(_next(name, wanted))


@dataclass(frozen=True)
class _Source:
    """The tokens of one storage."""

    broker: Broker
    profile: str
    storage: str

    def token(self, operation: str, path: str, seconds: float | None = None) -> str:
        """Return a token for an operation on a file."""
        asked = self.profile, self.storage, operation, path
        return (self.broker.token(*asked) if seconds is None else self.broker.fresh(*asked, seconds)).value

    def another(self, operation: str, path: str, refused: str, age: float = 0.0) -> str | None:
        """Return a token in place of one that the server refused, or None when there is none."""
        asked = wanted(self.profile, self.storage, operation, path)
        found = self.broker.another(asked, refused, age)
        return found.value if found else None


def _next(name: str, asked: Wanted) -> Wanted:
    chain = (*asked.chain, asked.profile)
    if name in chain:
        raise ConfigInvalid(f"Token profiles build on each other in a circle: {' > '.join((*chain, name))}.")
    return replace(asked, profile=name, chain=chain)


def _require_life(asked: Wanted, token: Token) -> None:
    if token.expires is None:
        return
    left = token.expires - time.time()
    if left < _LEAST:
        words = "has expired" if left <= 0 else f"lasts for {left:.0f} s only"
        hint = "Renew it; if it is new, compare the clocks of this machine and of the issuer."
        raise Unauthenticated(f"{asked.who}: the token {words}.", hint=hint, **asked.context)


def _again(error: GemelError) -> GemelError:
    return type(error)(error.message, hint=error.hint, **error.context)
