"""What the tests of the STAC face share: synthetic collections and items, clients, errors in STAC's shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import pyproj
import xarray as xr

from gemel.infra.lake.catalogue import Catalogue
from gemel.infra.lake.collections import Collections
from stage import PATIENCE, Serving

ROOT = Path(__file__).parents[3]
OUTSIDE = Path(__file__).with_name("outside")
SCENES, KEPT = "scenes", "kept"
COUNT = 60
GEOMETRY = {"type": "Polygon", "coordinates": [[[0, 0], [9.5, 0], [9.5, 9.5], [0, 9.5], [0, 0]]]}


def collection(id: str, **more: Any) -> dict[str, Any]:
    """Return a synthetic STAC Collection."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": id,
        "title": f"Synthetic {id}",
        "description": "Made by gemel's tests.",
        "license": "CC0-1.0",
        "keywords": ["synthetic"],
        "summaries": {"platform": ["synthetic-a", "synthetic-b"]},
        "extent": {"spatial": {"bbox": [[0, 0, 10, 6]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}},
        "links": [{"rel": "license", "href": "https://creativecommons.org/publicdomain/zero/1.0/"}],
        **more,
    }


def square(west: float, south: float, size: float = 0.5) -> dict[str, Any]:
    """Return a square as a GeoJSON geometry."""
    east, north = west + size, south + size
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def item(number: int, **properties: Any) -> dict[str, Any]:
    """Return the synthetic STAC Item of a number: on a grid of ten columns, one day after the other, cloudier each time."""
    west, south = float(number % 10), float(number // 10)
    day = pd.Timestamp("2020-01-01") + pd.Timedelta(days=number)
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": f"scene-{number:03d}",
        "collection": SCENES,
        "geometry": square(west, south),
        "bbox": [west, south, west + 0.5, south + 0.5],
        "properties": {
            "datetime": f"{day:%Y-%m-%d}T00:00:00Z",
            "title": f"Scene {number}",
            "description": "Synthetic.",
            "platform": "synthetic-a" if number % 2 else "synthetic-b",
            "eo:cloud_cover": float(number),
            **properties,
        },
        "links": [],
        "assets": {"data": {"href": "https://example.org/data.tif", "type": "image/tiff", "roles": ["data"]}},
    }


def plane() -> xr.DataArray:
    """Return a small synthetic cube."""
    y, x = np.linspace(50, 49, 4), np.linspace(8, 9, 5)
    cube = xr.DataArray(
        np.zeros((1, 4, 5), "float32"),
        dims=("t", "y", "x"),
        coords={
            "t": pd.date_range("2020-01-01", periods=1),
            "y": ("y", y, {"axis": "Y"}),
            "x": ("x", x, {"axis": "X"}),
        },
        name="plane",
    )
    return cube.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": pyproj.CRS.from_epsg(4326).to_wkt()}))


def furnish(catalogue: Catalogue, kept: Collections | None = None) -> None:
    """Put the synthetic collections where they belong; the one that the lake keeps where there is a place for it."""
    if kept is not None:
        kept.add_dataset(
            KEPT, plane(), title="Synthetic plane", description="Made by gemel's tests.", license="CC0-1.0"
        )
    catalogue.put_collection(collection(SCENES))
    catalogue.put_items(SCENES, (item(number) for number in range(COUNT)))


def speaking(served: Serving, *, signed_in: bool = True) -> httpx2.Client:
    """Return a client of the API."""
    shown = {"Authorization": f"Bearer {served.token}"} if signed_in else {}
    return httpx2.Client(base_url=f"{served.url}/stac", headers=shown, timeout=PATIENCE)


def is_error(answer: httpx2.Response, expected: int, *words: str) -> None:
    """Look that an answer is an error in STAC's shape whose one message has some words."""
    assert answer.status_code == expected, answer.text
    assert answer.headers["content-type"].split(";")[0] == "application/json"
    found = answer.json()
    assert set(found) == {"code", "description"} and found["code"]
    assert "\n" not in found["description"] and len(found["description"]) < 400
    for word in words:
        assert word in found["description"], found


def ids(answer: httpx2.Response) -> list[str]:
    """Return the ids of the items in an answer."""
    assert answer.status_code == 200, answer.text
    return [found["id"] for found in answer.json()["features"]]
