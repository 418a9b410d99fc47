"""What an engine's home folder and settings give to runs and packages: surroundings, and the key that signs."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from joserfc.jwk import OKPKey

from gemel.base.clock import parse_duration
from gemel.base.config import Settings
from gemel.base.sizes import parse_size
from gemel.core.graph import Sandbox, Surroundings


def place_of(settings: Settings) -> Surroundings:
    """Return where the steps of runs find themselves."""
    chosen = settings.sandbox
    sandbox = Sandbox(chosen.required, parse_duration(chosen.time).total_seconds(), parse_size(chosen.memory))
    told = settings.learn.tracking
    tracking = f"sqlite:///{settings.home / 'mlflow.db'}" if told == "sqlite" else told
    folder = settings.home / "workspace"
    return Surroundings(settings.home, folder, settings.runs.memory_bytes, sandbox, tracking=tracking)


def signing_key(home: Path) -> OKPKey:
    """Return the key that signs packages, made on first use."""
    path = home / "signing-key.pem"
    if path.exists():
        return OKPKey.import_key(path.read_bytes())
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".signing-key-") as fresh:
        fresh.write(OKPKey.generate_key("Ed25519").as_pem(private=True))
        fresh.flush()
        # A link appears whole or not at all: of two engines, one makes the key and both use it.
        with contextlib.suppress(FileExistsError):
            os.link(fresh.name, path)
    return OKPKey.import_key(path.read_bytes())
