"""Two sites for tests, each with a token authority of its own, and a lake over both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lake_of_tests import Lake
from xrootd_servers import XrootdPair


@dataclass
class Grid:
    """A lake with the storages `east` and `west` on two XRootD servers, and the servers."""

    lake: Lake
    pair: XrootdPair

    def add(self, name: str, site: str, **options: str) -> None:
        """Declare a storage on site `a` or `b`, with tokens of that site's own profile."""
        server = getattr(self.pair, site)
        if name not in {profile.name for profile in self.lake.tokens.list()}:
            self.lake.tokens.add(name, "macaroon", server.profile)
        given = {"url": server.url, "ca": str(self.pair.authority.file), "profile": name}
        self.lake.storages.add(name, "webdav", given | options)

    def left(self) -> list[str]:
        """Return all files on both servers."""
        return [str(path) for site in (self.pair.a, self.pair.b) for path in site.folder.rglob("*") if path.is_file()]


@pytest.fixture
def grid(lake: Lake, xrootd_pair: XrootdPair) -> Iterator[Grid]:
    made = Grid(lake, xrootd_pair)
    made.add("east", "a")
    made.add("west", "b")
    yield made
    for path in made.left():
        Path(path).unlink(missing_ok=True)
