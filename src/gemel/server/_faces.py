"""Faces: the standards that the server speaks beside its own API. It meets them through the plugin registry alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from gemel.base.errors import GemelError
from gemel.base.plugins import plugins
from gemel.core.engine import Service
from gemel.infra.access import Authoriser, SignedLinks


@dataclass(frozen=True)
class Hosting:
    """What a face is given by the server that hosts it.

    Attributes:
        service: The engine.
        authoriser: Tells who shows a token.
        links: Signs addresses that can be read without one.
    """

    service: Service
    authoriser: Authoriser
    links: SignedLinks


class Face(Protocol):
    """A standard spoken to others: registered as an object in the entry-point group `gemel.faces`.

    Attributes:
        prefix: Path below which it lives, such as ``/openeo/1.2``.
        roots: Paths outside of it that the standard demands, such as ``/.well-known/openeo``.

    A face whose standard lives below several prefixes names the others in ``prefixes``; their routes, which may have
    parameters, are among its `root_routes`.

    A face whose standard has tokens of its own may say ``guards_itself = True``: every request then reaches its app,
    with ``scope["actor"]`` telling whether the engine's token was shown, and the app refuses whom it does not know.
    """

    prefix: str
    roots: Sequence[str]

    def app(self, hosting: Hosting) -> ASGIApp:
        """Return the app that is mounted at the prefix; it renders every error in the shape of its standard."""

    def root_routes(self, hosting: Hosting) -> Sequence[BaseRoute]:
        """Return the routes for `roots`."""

    def is_public(self, method: str, path: str) -> bool:
        """Return whether the standard demands that anyone may read this path."""

    def shown(self, credentials: str) -> str:
        """Return the engine's token in what a client of the standard sends after ``Authorization: Bearer``."""

    def refuse(self, request: Request, error: GemelError) -> Response:
        """Return the answer to a request that does not reach the app."""


def installed_faces() -> list[Face]:
    """Return every face that can be loaded."""
    return [face for _, face in plugins("faces").healthy()]


def face_of(faces: Iterable[Face], path: str) -> Face | None:
    """Return the face that a path belongs to, or None."""
    for face in faces:
        prefixes = (face.prefix, *getattr(face, "prefixes", ()))
        if path in face.roots or any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes):
            return face
    return None
