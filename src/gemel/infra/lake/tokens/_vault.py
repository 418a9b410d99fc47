"""Rotated refresh tokens, sealed: the one secret that has to survive a restart."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import sqlalchemy as sql
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.engine import Connection

from gemel.base.errors import StoreUnavailable
from gemel.base.ids import digest_bytes
from gemel.infra.lake.storages import Journal

_KEY, _NONCE = 32, 12  # bytes: AES-256, and what NIST SP 800-38D (8.2) recommends for GCM


class Vault:
    """What profiles keep between runs, sealed with AES-GCM under a key in the engine's own folder.

    Args:
        journal: Where the sealed texts are kept.
        tables: Of the journal, by name.
        home: The engine's folder; the key lies in `keys/tokens.key` there, readable by its owner alone.
    """

    def __init__(self, journal: Journal, tables: Mapping[str, sql.Table], home: Path) -> None:
        self._journal, self._table = journal, tables["token_secrets"]
        self._folder = home / "keys"
        # What could not be written, since there is no second copy of it: the disk was full, say.
        self._unsaved: dict[str, str] = {}

    def kept(self, profile: str) -> str | None:
        """Return what a profile keeps, or None when there is nothing, or nothing that this key opens.

        Raises:
            StoreUnavailable: The key cannot be read.
        """
        if profile in self._unsaved:
            return self._unsaved[profile]
        chosen = sql.select(self._table.c.sealed).where(self._table.c.profile == profile)
        with self._journal.read() as connection:
            sealed = connection.execute(chosen).scalar()
        if sealed is None:
            return None
        # The name of the profile is sealed in, so that no row can stand in for another.
        try:
            raw = base64.b64decode(sealed, validate=True)
            return AESGCM(self._key()).decrypt(raw[:_NONCE], raw[_NONCE:], profile.encode()).decode()
        except (InvalidTag, ValueError):
            return None

    def keep(self, profile: str, text: str) -> None:
        """Seal what a profile keeps from now on; it is on the disk when this returns.

        Raises:
            StoreUnavailable: The key or the journal cannot be written.
        """
        self._unsaved[profile] = text
        nonce = secrets.token_bytes(_NONCE)
        sealed = base64.b64encode(nonce + AESGCM(self._key()).encrypt(nonce, text.encode(), profile.encode()))
        with self._journal.write() as connection:
            connection.execute(sql.delete(self._table).where(self._table.c.profile == profile))
            row = {"profile": profile, "sealed": sealed.decode(), "updated": time.time()}
            connection.execute(sql.insert(self._table), row)
        self._unsaved.pop(profile, None)

    def forget(self, profile: str, connection: Connection) -> None:
        """Remove what a profile keeps, in the transaction of `connection`."""
        self._unsaved.pop(profile, None)
        connection.execute(sql.delete(self._table).where(self._table.c.profile == profile))

    @contextlib.contextmanager
    def alone(self, profile: str) -> Iterator[None]:
        """Let one thread of one process on this machine at a time use what a profile keeps.

        Raises:
            StoreUnavailable: Nothing could be kept: a token that is good for one use must not be used then.
        """
        self._key()
        with _translated(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / f"{digest_bytes(profile.encode())[:16]}.lock"
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _key(self) -> bytes:
        path = self._folder / "tokens.key"
        with _translated(self._folder):
            if not path.exists():
                self._make_key(path)
            found = path.read_bytes()
        if len(found) != _KEY:
            hint = "Restore it, or remove it: profiles then begin anew with the tokens that their options name."
            raise StoreUnavailable(f"The key in {path} is damaged.", hint=hint)
        return found

    def _make_key(self, path: Path) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        staging = path.with_name(f".{secrets.token_hex(8)}")
        handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, secrets.token_bytes(_KEY))
            os.fsync(handle)
            # A link never replaces: of several processes that begin together, one makes the key and all use it.
            with contextlib.suppress(FileExistsError):
                os.link(staging, path)
        finally:
            os.close(handle)
            staging.unlink()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"The keys in {folder} cannot be read or written: {error.strerror}.") from error
