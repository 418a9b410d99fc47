"""A Rucio server with two storage elements, as the tests here share it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lake_servers import Server
from rucio_server import RucioServer

from gemel.infra.lake.rucio import Rucio

DISK, DAV, SCOPE = "GEMEL-DISK", "GEMEL-DAV", "fulda"


@dataclass
class Stage:
    """A Rucio server and its two storage elements: a folder of this machine, and a WebDAV server."""

    server: RucioServer
    disk: Path
    dav: Server
    client: Rucio

    def options(self, rse: str, **more: str) -> dict[str, str]:
        """Return the options of the storage that is an RSE."""
        data = {"data_user": "gemel", "data_password": self.dav.options["password"]}
        return self.server.options(rse) | ({"files": "yes"} if rse == DISK else data) | more
