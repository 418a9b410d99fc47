"""Macaroons on request, as dCache and XRootD hand them out."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse, Response

from gemel.base.errors import InvalidInput
from gemel.faces.storage._asked import Asked
from gemel.faces.storage._errors import Refusal
from gemel.faces.storage._flow import Inflow

_MEDIA_TYPE = "application/macaroon-request"
_LARGEST = 16_384


async def mint(asked: Asked) -> Response:
    """Return a macaroon for a place and everything below it."""
    if asked.headers.get("content-type", "").partition(";")[0].strip().lower() != _MEDIA_TYPE:
        raise Refusal(415, f"POST asks for a macaroon, with the type {_MEDIA_TYPE}.")
    wanted, validity = _request(await body_of(asked, _LARGEST))
    asked.grant.require(asked.spot)
    macaroon, ends = await asked.element.soon(asked.element.keys.minted, asked.grant, asked.spot, wanted, validity)
    return JSONResponse({"macaroon": macaroon.text, "expires": ends})


async def body_of(asked: Asked, most: int) -> bytes:
    """Return a small body whole.

    Raises:
        Refusal: It is larger (413).
    """
    flow = Inflow(asked.element.limits.silence)
    found = bytearray()

    async def taken() -> dict[str, Any]:
        message = dict(await asked.receive())
        found.extend(message.get("body", b""))
        if len(found) > most:
            raise Refusal(413, f"A body like this may have {most} bytes.")
        return {**message, "body": b""}

    await flow.fill(taken)
    flow.read()
    return bytes(found)


def _request(body: bytes) -> tuple[list[str], str | None]:
    try:
        document = json.loads(body or b"{}")
    except ValueError as error:
        raise InvalidInput("The body is no JSON.") from error
    caveats = document.get("caveats", []) if isinstance(document, dict) else None
    validity = document.get("validity") if isinstance(document, dict) else None
    if not isinstance(caveats, list) or not all(isinstance(item, str) for item in caveats):
        raise InvalidInput("'caveats' is a list of texts.", hint='{"caveats": ["activity:DOWNLOAD"]}')
    if validity is not None and not isinstance(validity, str):
        raise InvalidInput("'validity' is an ISO 8601 duration.", hint='{"validity": "PT10M"}')
    return caveats, validity
