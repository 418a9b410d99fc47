"""The built files of the pages, and the policy under which they run."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.staticfiles import StaticFiles

STATIC_PATH = "/static"
"""Where the server mounts `static_files()`."""

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The `Content-Security-Policy` header that every page works under."""

_FOLDER = Path(__file__).parent / "static"


def static_files() -> StaticFiles:
    """Return the ASGI app that serves scripts, styles, fonts and the logo."""
    return StaticFiles(directory=_FOLDER)


@cache
def digest(name: str) -> str:
    """Return a short digest of a static file, so that a new release is never hidden by an old cache."""
    return hashlib.sha256((_FOLDER / name).read_bytes()).hexdigest()[:12]


def asset(name: str) -> str:
    """Return the address of a static file with its digest."""
    return f"{STATIC_PATH}/{name}?v={digest(name)}"
