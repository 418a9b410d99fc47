"""A broker on a real journal, real issuers, and servers that do what they should not."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gemel.infra.lake.storages import Storages
from gemel.infra.lake.tokens import Broker
from gemel.infra.store import Store, open_store, schema

# The servers stand beside the tests of storages.
sys.path.insert(0, str(Path(__file__).parents[1] / "storages"))
from crooked_server import crooked
from issuers import issuers, oidc_packages
from lake_servers import xrootd
from xrootd_servers import xrootd_pair

__all__ = ["crooked", "issuers", "oidc_packages", "xrootd", "xrootd_pair"]


# Beginnings of JSON Web Tokens and macaroons in base64, and what stands before secrets in headers and forms.
_SECRET = re.compile(
    r"eyJ[\w-]{8}|MDA[\w-]{8}|Bearer [\w-]{4}|Basic (?!realm)[\w-]{4}|(_token|_secret)=(?!file:|env:)[^&\s]"
)


@pytest.fixture(autouse=True)
def _nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Look through all that every test here logs, the HTTP client's own words included."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.get_records("setup") + caplog.get_records("call"):
        found = _SECRET.search(record.getMessage())
        assert not found, f"{record.name} logs {found and found[0][:12]}"


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    opened = open_store(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def broker(store: Store, home: Path) -> Iterator[Broker]:
    made = Broker(store, schema.metadata.tables, home)
    yield made
    made.close()


@pytest.fixture
def storages(store: Store, home: Path, broker: Broker) -> Iterator[Storages]:
    made = Storages(store, schema.metadata.tables, home, broker)
    yield made
    made.close()


@pytest.fixture
def reference(tmp_path: Path) -> Callable[[str, str], str]:
    """Return a function that writes a secret into a file and returns the reference to it."""

    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return f"file:{tmp_path / name}"

    return write


@pytest.fixture
def client(crooked, reference) -> dict[str, str]:
    """Return the options of a client of the crooked server."""
    secret = reference("client secret", "s3cr3t&of=client")
    return {"token_endpoint": f"{crooked.url}/token", "client_id": "robot", "client_secret": secret}
