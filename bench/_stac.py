"""A search by box and month in 100,000 synthetic items over HTTP, beside reading the whole table for the same answer."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from bench._pgstac import serving_pgstac
from bench._report import progress, report
from gemel.base.config import load_settings
from gemel.core.engine import Engine, Service, open_engine
from gemel.infra.access import read_token
from gemel.server import create_app

_ITEMS = 100_000
_ROUNDS = 60
_DAYS = 28


def stac() -> None:
    """Report seconds per search: page of up to 50, one of 60 boxes and months each, HTTP and JSON included."""
    rng = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="gemel-bench-") as folder:
        home = Path(folder)
        with open_engine(load_settings(home=home, environ={}, folder=home)) as engine:
            engine.catalogue.put_collection({"type": "Collection", "stac_version": "1.1.0", "id": "synthetic"})
            progress(f"putting {_ITEMS} items")
            items = [_item(number, rng) for number in range(_ITEMS)]
            started = time.perf_counter()
            engine.catalogue.put_items("synthetic", items)
            loaded = time.perf_counter() - started
            try:
                with serving_pgstac(home, items) as (address, others):
                    ours, peer, pgstac = _rounds(engine, rng, address)
            except RuntimeError as error:
                progress(f"without pgstac: {error}")
                ours, peer, pgstac = _rounds(engine, rng, None)
    report(
        "stac-search", ours, peer, "s", "full scan of the same table in SQLite", items=_ITEMS, load_s=round(loaded, 2)
    )
    if pgstac:
        report("stac-search-pgstac", ours, pgstac, "s", "stac-fastapi-pgstac 7.2.0, pgstac 0.10.0", items=_ITEMS)
        report("stac-load", [loaded], [others], "s", "pypgstac load of the same items", items=_ITEMS)


def _rounds(engine: Engine, rng: random.Random, address: str | None) -> tuple[list[float], list[float], list[float]]:
    ours: list[float] = []
    peer: list[float] = []
    pgstac: list[float] = []
    shown = {"Authorization": f"Bearer {read_token(engine.settings.home)}"}
    with (
        _served(engine) as url,
        httpx2.Client(base_url=f"{url}/stac", headers=shown) as client,
        httpx2.Client(base_url=address or url) as other,
    ):
        for _ in range(_ROUNDS):
            box, month = _asked(rng)
            seconds, found = _by_http(client, box, month)
            scanned, same = _by_scan(engine.settings.home, box, month)
            if found != same:
                raise RuntimeError(f"The search finds {len(found)} items, the scan {len(same)}.")
            ours.append(seconds)
            peer.append(scanned)
            if address is not None:
                seconds, theirs = _by_http(other, box, month)
                if len(theirs) != len(found):
                    raise RuntimeError(f"The search finds {len(found)} items, pgstac {len(theirs)}.")
                pgstac.append(seconds)
    return ours, peer, pgstac


def _by_http(client: httpx2.Client, box: list[float], month: tuple[str, str]) -> tuple[float, list[str]]:
    asked = {"bbox": ",".join(map(str, box)), "datetime": "/".join(month), "limit": 50}
    started = time.perf_counter()
    answer = client.get("/search", params=asked).raise_for_status().json()
    return time.perf_counter() - started, [item["id"] for item in answer["features"]]


def _by_scan(home: Path, box: list[float], month: tuple[str, str]) -> tuple[float, list[str]]:
    west, south, east, north = box
    statement = (
        "SELECT document FROM stac_items NOT INDEXED WHERE west <= ? AND east >= ? AND south <= ? AND north >= ?"
        " AND json_extract(document, '$.properties.datetime') BETWEEN ? AND ?"
        " ORDER BY json_extract(document, '$.properties.datetime') DESC, number DESC LIMIT 50"
    )
    started = time.perf_counter()
    with contextlib.closing(sqlite3.connect(home / "gemel.db")) as connection:
        rows = connection.execute(statement, (east, west, north, south, *month)).fetchall()
    return time.perf_counter() - started, [json.loads(row[0])["id"] for row in rows]


def _asked(rng: random.Random) -> tuple[list[float], tuple[str, str]]:
    west, south = rng.uniform(-170, 150), rng.uniform(-80, 60)
    year, month = rng.randint(2011, 2024), rng.randint(1, 12)
    return [west, south, west + 20, south + 20], (
        f"{year}-{month:02d}-01T00:00:00Z",
        f"{year}-{month:02d}-28T00:00:00Z",
    )


def _item(number: int, rng: random.Random) -> dict[str, Any]:
    west, south = rng.uniform(-180, 179), rng.uniform(-90, 89)
    ring = [[west, south], [west + 1, south], [west + 1, south + 1], [west, south + 1], [west, south]]
    day = f"{rng.randint(2011, 2024)}-{rng.randint(1, 12):02d}-{rng.randint(1, _DAYS):02d}T00:00:00Z"
    asset = {"href": f"https://example.org/{number}.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": f"item-{number}",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, west + 1, south + 1],
        "properties": {"datetime": day, "eo:cloud_cover": rng.uniform(0, 100), "platform": "synthetic"},
        "links": [],
        "assets": dict.fromkeys(("red", "green", "blue", "nir"), asset),
    }


@contextlib.contextmanager
def _served(engine: Engine) -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as place:
        place.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(Service(engine)), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
        server.should_exit = True
        thread.join()
