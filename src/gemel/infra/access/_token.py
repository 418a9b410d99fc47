"""The engine's own token: random, stable, and readable by the user who started the engine alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from gemel.base.errors import StoreUnavailable


def token_path(home: Path) -> Path:
    """Return where the token of the engine at `home` lies."""
    return home / "token"


def read_token(home: Path) -> str:
    """Return the token, made on first use in a file that only its owner can read (mode 0600).

    Raises:
        StoreUnavailable: Others can read the file, or it cannot be written.
    """
    path = token_path(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise StoreUnavailable(f"Others can read {path}.", hint=f"chmod 600 {path}")
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        if isinstance(error, StoreUnavailable):
            raise
        raise StoreUnavailable(f"The token {path} cannot be made or read: {error.strerror}.") from error
    if not token:
        raise StoreUnavailable(f"The token {path} is empty.", hint=f"rm {path}")
    return token


def _make(path: Path) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".token-") as fresh:  # mode 0600
        fresh.write(secrets.token_urlsafe(32))
        fresh.flush()
        # A link appears whole or not at all: of two engines that start together, one makes the token and both read it.
        with contextlib.suppress(FileExistsError):
            os.link(fresh.name, path)
