"""The peer of the catalogue: pgstac on PostgreSQL with PostGIS, served by stac-fastapi, in an environment of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench._environment import python_with
from bench._report import progress

_PACKAGES = ("pypgstac[psycopg]==0.10.0", "stac-fastapi-pgstac==7.2.0", "uvicorn>=0.34")
_PATIENCE = 60.0
_TESTS = Path(__file__).parents[1] / "tests" / "conftest.py"


@contextlib.contextmanager
def serving_pgstac(folder: Path, items: Iterable[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    """Yield (address, seconds that loading took) of pgstac with a collection `synthetic` of these items.

    Raises:
        RuntimeError: PostgreSQL with PostGIS is not installed.
    """
    if not list(Path("/usr/share/postgresql").glob("*/extension/postgis.control")):
        raise RuntimeError("PostGIS is not installed (Debian package `postgresql-15-postgis-3`).")
    python = python_with("pgstac", _PACKAGES)
    with contextlib.ExitStack() as stack:
        named = {"STAC_FASTAPI_TITLE": "peer", "STAC_FASTAPI_DESCRIPTION": "peer", "STAC_FASTAPI_LANDING_ID": "peer"}
        environment = os.environ | named | {"STAC_FASTAPI_VERSION": "1"} | _database(stack)
        load = python.with_name("pypgstac")
        subprocess.run([load, "migrate"], check=True, env=environment, stdout=subprocess.DEVNULL)
        collection, documents = folder / "collection.json", folder / "items.ndjson"
        collection.write_text(json.dumps(_COLLECTION))
        with documents.open("w") as lines:
            lines.writelines(json.dumps(item | {"collection": "synthetic"}) + "\n" for item in items)
        subprocess.run([load, "load", "collections", collection, "--method", "upsert"], check=True, env=environment)
        progress("loading the same items into pgstac")
        begun = time.perf_counter()
        subprocess.run([load, "load", "items", documents, "--method", "insert"], check=True, env=environment)
        loaded = time.perf_counter() - begun
        yield _served(stack, python, environment), loaded


def _database(stack: contextlib.ExitStack) -> dict[str, str]:
    """Return the variables that name a private PostgreSQL, started as the tests start theirs."""
    spec = importlib.util.spec_from_file_location("gemel_tests_conftest", _TESTS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    binaries = next(folder for folder in module._BINARIES if (folder / "initdb").exists())
    parts = urlsplit(module._start(binaries, stack).url("postgres"))
    found = {"PGHOST": str(parts.hostname), "PGPORT": str(parts.port), "PGUSER": str(parts.username)}
    return found | {"PGPASSWORD": str(parts.password), "PGDATABASE": "postgres"}


def _served(stack: contextlib.ExitStack, python: Path, environment: dict[str, str]) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [python, "-m", "uvicorn", "--factory", "stac_fastapi.pgstac.app:create_app", "--port", str(port)]
    server = subprocess.Popen([*command, "--log-level", "warning"], env=environment)
    stack.callback(server.wait)
    stack.callback(server.kill)
    until = time.monotonic() + _PATIENCE
    while not _listens(port):
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError("stac-fastapi-pgstac does not start.")
        time.sleep(0.05)
    return f"http://127.0.0.1:{port}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


_COLLECTION = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "synthetic",
    "description": "Synthetic items.",
    "license": "CC0-1.0",
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
    "links": [],
}
