"""One Rucio server for all tests here, with two storage elements, and lakes that know it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from lake_of_tests import Lake, rain
from lake_servers import Server, dav, rclone
from rucio_server import prepared, serving_rucio
from rucio_stage import DAV, DISK, SCOPE, Stage
from xrootd_servers import xrootd_pair

from gemel.infra.lake.rucio import Protocol, Rucio

__all__ = ["dav", "rain", "rclone", "xrootd_pair"]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, dav: Server) -> Iterator[Stage]:
    python, home = prepared(), tmp_path_factory.mktemp("rucio")
    disk = home / "disk"
    disk.mkdir()
    (dav.folder / "rucio").mkdir()
    with serving_rucio(home, python) as server:
        client = Rucio("rucio", {key: value for key, value in server.options("-").items() if key != "rse"})
        parts = urlsplit(dav.url)
        ways = {DISK: Protocol("file", "localhost", 0, f"{disk}/")}
        ways[DAV] = Protocol("http", str(parts.hostname), int(parts.port or 0), "/rucio/")
        for rse, way in ways.items():
            client.add_rse(rse)
            client.add_protocol(rse, way)
            client.set_limit(rse, 10**12)
        client.add_scope(SCOPE)
        yield Stage(server, disk, dav, client)
        client.close()


@pytest.fixture
def lake(sqlite_url: str, home: Path, tmp_path: Path, stage: Stage) -> Iterator[Lake]:
    """Yield a lake that knows both storage elements as `disk` and `dav`, and a folder of its own, `archive`."""
    made = Lake(sqlite_url, home)
    made.add_folder("archive", tmp_path / "archive")
    for name, rse in (("disk", DISK), ("dav", DAV)):
        made.storages.add(name, "rucio", stage.options(rse))
    yield made
    made.close()
