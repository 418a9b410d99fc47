"""Secondary services: tiles of a result, computed once, drawn where the result lies on the map."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
import pytest
from openeo_stage import COLLECTION, is_error

DRAWN = {
    "process_graph": {
        "load": {
            "process_id": "load_collection",
            "arguments": {"id": COLLECTION, "spatial_extent": None, "temporal_extent": None},
        },
        "save": {
            "process_id": "save_result",
            "arguments": {"data": {"from_node": "load"}, "format": "PNG"},
            "result": True,
        },
    }
}
GREY = {"minimum": 40.0, "maximum": 60.0, "ramp": "grey"}


def decoded(data: bytes) -> np.ndarray:
    """Return the pixels (row, column, RGBA) of an unfiltered eight-bit PNG."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    position, found = 8, {}
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        kind, content = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        assert (
            zlib.crc32(kind + content) == struct.unpack(">I", data[position + 8 + length : position + 12 + length])[0]
        )
        found[kind] = content
        position += 12 + length
    width, height = struct.unpack(">II", found[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(found[b"IDAT"]), np.uint8).reshape(height, 1 + 4 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 4)


def place(longitude: float, latitude: float, zoom: int) -> tuple[int, int, int, int]:
    """Return (column, row, x, y): tile and pixel of a position (OpenStreetMap wiki, slippy map tilenames)."""
    scale = 256 * 2**zoom
    x = (longitude + 180.0) / 360.0 * scale
    y = (1.0 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2.0 * scale
    return int(x // 256), int(y // 256), int(x % 256), int(y % 256)


@pytest.fixture
def service(api):
    answer = api.post("/services", json={"type": "xyz", "process": DRAWN, "configuration": GREY, "title": "Soil"})
    assert answer.status_code == 201
    yield answer.headers["openeo-identifier"]
    api.delete(f"/services/{answer.headers['openeo-identifier']}")


def tile(client, address: str, column: int, row: int, zoom: int = 9):
    return client.get(address.replace("{z}", str(zoom)).replace("{x}", str(column)).replace("{y}", str(row)))


def test_a_service_is_described_listed_changed_and_deleted(api, service):
    document = api.get(f"/services/{service}").json()
    assert document["type"] == "XYZ" and document["enabled"] and document["process"] == DRAWN
    assert document["configuration"] == GREY and "{z}/{x}/{y}.png" in document["url"]
    assert service in [item["id"] for item in api.get("/services").json()["services"]]
    assert api.patch(f"/services/{service}", json={"title": "Other", "enabled": False}).status_code == 204
    changed = api.get(f"/services/{service}").json()
    assert changed["title"] == "Other" and not changed["enabled"]
    is_error(tile(api, changed["url"], 279, 177), 404, "ServiceNotFound")
    assert api.get(f"/services/{service}/logs").json()["logs"] == []
    assert api.delete(f"/services/{service}").status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        is_error(api.request(method, f"/services/{service}", json={}), 404, "ServiceNotFound")


def test_each_pixel_has_the_colour_of_the_value_that_lies_there(api, service):
    address = api.get(f"/services/{service}").json()["url"]
    # December is shown: 60 - 11 + 0.1 row + 0.01 column; the grid has steps of 0.01 degrees from 16.18 E, 48.30 N.
    for row, column in ((3, 5), (11, 20), (20, 35)):
        x, y, left, top = place(16.18 + 0.01 * column, 48.30 - 0.01 * row, 9)
        pixels = decoded(tile(api, address, x, y).content)
        expected = (49.0 + 0.1 * row + 0.01 * column - 40.0) / 20.0 * 255.0
        red, green, blue, alpha = pixels[top, left]
        assert red == green == blue and alpha == 255
        # One grey step is 0.08 units; beside a cell's border its neighbour (0.1 units away) may be meant.
        assert abs(float(red) - expected) <= 2.5


def test_outside_of_the_result_a_tile_is_transparent(api, service):
    address = api.get(f"/services/{service}").json()["url"]
    assert not decoded(tile(api, address, 0, 0).content)[..., 3].any()
    whole = decoded(tile(api, address, 0, 0, zoom=0).content)
    assert whole[..., 3].sum() <= 255  # less than a pixel of the world


def test_the_result_is_computed_once(api, served, service):
    address = api.get(f"/services/{service}").json()["url"]
    for column in (278, 279, 280):
        assert tile(api, address, column, 177).status_code == 200
    runs = len(served.service.runs(limit=1000))
    api.patch(f"/services/{service}", json={"configuration": {"ramp": "heat", "resampling": "bilinear"}})
    address = api.get(f"/services/{service}").json()["url"]
    assert tile(api, address, 279, 177).status_code == 200
    assert len(served.service.runs(limit=1000)) == runs


def test_the_style_selects_what_is_drawn(api, service):
    address = api.get(f"/services/{service}").json()["url"]
    x, y, left, top = place(16.38, 48.19, 9)
    december = decoded(tile(api, address, x, y).content)[top, left, 0]
    api.patch(f"/services/{service}", json={"configuration": GREY | {"select": {"t": "2020-06-01"}}})
    june = decoded(tile(api, address, x, y).content)[top, left, 0]
    # Six months wetter: 6 units of 20.
    assert abs((float(june) - float(december)) - 6 / 20 * 255) <= 2
    api.patch(f"/services/{service}", json={"configuration": {"select": {"t": "1999-01-01"}}})
    is_error(tile(api, address, x, y), 400, "ServiceConfigInvalid")


@pytest.mark.parametrize("place", ["-1/0/0", "99/0/0", "1/2/0", "1/0/2", "a/0/0", "0/0/0.5"])
def test_a_tile_that_is_none_is_refused(api, service, place):
    assert api.get(f"/services/{service}/tiles/{place}.png").status_code in (400, 404)


def test_only_the_address_of_this_service_opens_its_tiles(api, stranger, service):
    address = api.get(f"/services/{service}").json()["url"]
    assert tile(stranger, address, 279, 177).status_code == 200
    is_error(tile(stranger, address.split("?")[0], 279, 177), 401, "AuthenticationRequired")
    query = address.split("?")[1]
    is_error(stranger.get(f"/services/{service}?{query}"), 401, "AuthenticationRequired")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"type": "WMS"}, "ServiceUnsupported"),
        ({"configuration": {"colour": 1}}, "ServiceConfigUnsupported"),
        ({"configuration": {"minimum": "low"}}, "ServiceConfigInvalid"),
        ({"configuration": {"minimum": 2, "maximum": 1}}, "ServiceConfigInvalid"),
        ({"configuration": {"ramp": "rainbow"}}, "ServiceConfigInvalid"),
        ({"process": {}}, "ProcessGraphMissing"),
        ({"type": 5}, "RequestInvalid"),
    ],
)
def test_a_service_that_cannot_be_is_refused(api, body, code):
    before = api.get("/services").json()["services"]
    is_error(api.post("/services", json={"type": "XYZ", "process": DRAWN} | body), 400, code)
    assert api.get("/services").json()["services"] == before


def test_a_service_whose_process_fails_says_why(api):
    failing = {"process_graph": {"a": {"process_id": "divide", "arguments": {"x": 1, "y": 0}, "result": True}}}
    id = api.post("/services", json={"type": "XYZ", "process": failing}).headers["openeo-identifier"]
    is_error(api.get(f"/services/{id}/tiles/0/0/0.png"), 500, "Internal")
    assert api.get(f"/services/{id}/logs").json()["logs"][-1]["level"] == "error"
    api.delete(f"/services/{id}")
