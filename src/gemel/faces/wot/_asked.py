"""What every route works with: the engine, addresses, JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from gemel.base.errors import InvalidInput
from gemel.core.engine import Service
from gemel.core.stream import finite
from gemel.core.twin import Twin
from gemel.infra.access import SignedLinks

PREFIX = "/wot"
TD = "application/td+json"
JSON = "application/json"
Document = dict[str, Any]
# A client that keeps a description for longer reads it again.
_OPEN_SECONDS = 86_400.0


@dataclass(frozen=True)
class Asked:
    """One request, read whole.

    Attributes:
        request: As the framework has it.
        service: The engine.
        links: Signs addresses.
        body: Content of the request.
    """

    request: Request
    service: Service
    links: SignedLinks
    body: bytes = b""

    def path(self, name: str) -> str:
        """Return a part of the request's path."""
        return str(self.request.path_params[name])

    @property
    def twin(self) -> Twin:
        """Return the twin that the request is about."""
        return self.service.engine.twin(self.path("twin"))

    @property
    def root(self) -> str:
        """Return the address of the server; the gate has checked the host."""
        return f"{self.request.url.scheme}://{self.request.headers.get('host', '')}"

    def address(self, *parts: str) -> str:
        """Return the address of a path of the face."""
        return self.root + _path(parts)

    def opened(self, *parts: str) -> str:
        """Return an address that can be read without a token for a day.

        An `EventSource` (HTML standard, section 9.2) can send no `Authorization`.
        """
        signed = "/".join(("", PREFIX.strip("/"), *parts))
        return f"{self.address(*parts)}?{self.links.query(signed, _OPEN_SECONDS)}"

    def input(self) -> Document:
        """Return the input of an action: an object, empty when there is no body.

        Raises:
            InvalidInput: The body is no JSON object.
        """
        if not self.body.strip():
            return {}
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"The input is not JSON: {error}.", hint="Send an object.") from error
        if not isinstance(found, dict):
            raise InvalidInput("The input is no JSON object.", hint='Send {"name": value}.')
        return found


def answered(document: Any, media: str = JSON, status: int = 200, **headers: str) -> Response:
    """Return a JSON answer."""
    text = json.dumps(finite(document), ensure_ascii=False, allow_nan=False, default=str)
    return Response(text, status, headers, media)


def _path(parts: tuple[str, ...]) -> str:
    return "/".join((PREFIX, *(quote(part, safe="") for part in parts)))
