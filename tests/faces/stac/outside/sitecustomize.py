"""Answers the addresses of the STAC and GeoJSON schemas from the copies that pystac brings, so that no network is needed.

Schemas of extensions are in no package, so documents without extensions are validated.
"""

from importlib.resources import files
from io import BytesIO

import requests
from requests.adapters import HTTPAdapter

_SCHEMAS = files("pystac.validation.jsonschemas")
_PLACES = {
    "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/": "stac-spec/v1.1.0/",
    "https://schemas.stacspec.org/v1.1.0/collection-spec/json-schema/": "stac-spec/v1.1.0/",
    "https://schemas.stacspec.org/v1.1.0/catalog-spec/json-schema/": "stac-spec/v1.1.0/",
    "https://geojson.org/schema/": "geojson/",
}
_send = HTTPAdapter.send


def _local(url: str) -> bytes | None:
    for start, folder in _PLACES.items():
        if url.startswith(start):
            found = _SCHEMAS.joinpath(folder + url.removeprefix(start).split("#")[0])
            return found.read_bytes() if found.is_file() else None
    return None


def _answered(self, request, **options):
    body = _local(request.url)
    if body is None:
        return _send(self, request, **options)
    response = requests.Response()
    response.status_code, response.url, response.request = 200, request.url, request
    response.headers["Content-Type"] = "application/json"
    response.raw = BytesIO(body)
    response._content = body
    return response


HTTPAdapter.send = _answered
