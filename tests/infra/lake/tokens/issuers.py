"""Real issuers of tokens: two OpenID providers (npm's `oidc-provider`) on loopback, each trusting the other."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from lake_servers import free_port, running

_PACKAGE = "oidc-provider@^8.8"  # the last that runs on Debian 12's Node 18


@dataclass
class Issuer:
    """An OpenID provider with the clients `robot`, `poster`, `person` and `exchanger`."""

    url: str
    secret: str = field(repr=False)
    secret_file: Path

    def options(self, client: str, **more: str) -> dict[str, str]:
        """Return options of a profile for one of its clients."""
        return {"issuer": self.url, "client_id": client, "client_secret": f"file:{self.secret_file}", **more}

    def given(self) -> int:
        """Return how many tokens it gave so far."""
        return int(httpx2.get(f"{self.url}/test/given").text)

    def sign_in(self) -> str:
        """Return a refresh token of the person `ada`."""
        return httpx2.get(f"{self.url}/test/sign-in").text


@pytest.fixture(scope="session")
def oidc_packages() -> Path:
    """Return the folder that holds the npm package `oidc-provider`, installed once and kept for later sessions."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed (Debian packages `nodejs npm`)")
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gemel-tests" / "oidc-provider-8"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            (folder / "package.json").write_text('{"private": true}')
            command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", _PACKAGE]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"npm cannot install {_PACKAGE}: {done.stderr[-500:]}")
            (folder / "ready").touch()
    return folder


@pytest.fixture(scope="session")
def issuers(oidc_packages: Path) -> Iterator[tuple[Issuer, Issuer]]:
    """Yield two issuers with different keys and clients' secrets."""
    script = Path(__file__).with_name("issuer.mjs")
    ports = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gemel-issuers-")))
        found = []
        for number, port in enumerate(ports):
            place = folder / str(number)
            place.mkdir()
            secret = secrets.token_hex(32)
            (place / "secret").write_text(secret)
            trusted = [f"http://127.0.0.1:{other}" for other in ports if other != port]
            told = {"port": port, "secret": secret, "trusted": trusted, "packages": str(oidc_packages)}
            stack.enter_context(running(["node", str(script), json.dumps(told)], port, place))
            found.append(Issuer(f"http://127.0.0.1:{port}", secret, place / "secret"))
        yield found[0], found[1]
