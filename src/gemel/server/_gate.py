"""The gate in front of every route: Host, Origin, who is asking, and the one authorisation point."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gemel.base.errors import Denied, GemelError
from gemel.infra.access import Actor, Authoriser, SignedLinks
from gemel.server._faces import Face, face_of

COOKIE = "gemel_token"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
_SAFE = ("GET", "HEAD", "OPTIONS")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "via", "x-real-ip")


class Gate:
    """ASGI middleware: refuses foreign hosts and origins, finds the actor, asks the authoriser, sets headers."""

    def __init__(  # noqa: PLR0913 - the framework hands each of them over by name
        self,
        app: ASGIApp,
        *,
        authoriser: Authoriser,
        token: str,
        allowed_hosts: Sequence[str],
        refuse: Callable[[Request, GemelError], Response],
        policy: str,
        faces: Sequence[Face] = (),
    ) -> None:
        self._app = app
        self._authoriser = authoriser
        self._token = token
        self._hosts = {*_LOOPBACK, *allowed_hosts}
        self._refuse = refuse
        self._policy = policy
        self._faces = faces
        self._links = SignedLinks(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check_host(request.headers)
            self._check_origin(request)
            actor, sign_in = self._actor(request)
            action = "read" if request.method in _SAFE else "write"
            self._authoriser.require(actor, action, self._resource(request, actor))
        except GemelError as error:
            await self._refuse(request, error)(scope, receive, self._dressed(send, None))
            return
        scope["actor"] = actor
        await self._app(scope, receive, self._dressed(send, self._token if sign_in else None))

    def _check_host(self, headers: Headers) -> None:
        # A page of another site that rebinds its name to loopback still sends its own name here.
        host = headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name not in self._hosts:
            raise Denied(f"This engine does not answer to the name '{name}'.", hint="--set server.allowed_hosts=NAME")

    def _check_origin(self, request: Request) -> None:
        origin = request.headers.get("origin")
        if origin is None:
            return
        if urlsplit(origin).netloc != request.headers.get("host"):
            raise Denied(f"Requests from pages of '{origin}' are refused.")

    def _actor(self, request: Request) -> tuple[Actor, bool]:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        face = face_of(self._faces, request.scope["path"])
        value = value if face is None else face.shown(value)
        cookie = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
        shown = value if scheme.lower() == "bearer" else (cookie.value if cookie else None)
        actor = self._authoriser.actor(shown)
        if actor.is_owner:
            return actor, False
        if self._opened(request):
            return Actor("link"), False
        if face is not None or shown is not None:
            return actor, False
        if request.method == "GET" and _is_page(request.url.path) and self._same_user(request):
            return self._authoriser.actor(self._token), True
        return actor, False

    def _opened(self, request: Request) -> bool:
        standing = self._links.standing(request.scope["path"], request.query_params)
        if standing == "expired":
            raise Denied(
                "This address was signed for a while that is over.", hint="Ask for it again.", reason="expired"
            )
        return standing == "valid"

    def _resource(self, request: Request, actor: Actor) -> str:
        path = request.scope["path"]
        face = face_of(self._faces, path)
        if face is not None and face.is_public(request.method, path):
            return "public"
        if face is not None and getattr(face, "guards_itself", False):
            return "guarded"
        first = path.strip("/").split("/")[0] or "page"
        return "linked" if actor.id == "link" else first

    def _same_user(self, request: Request) -> bool:
        # Opening the page signs in whoever started the engine: the kernel knows whose connection this is.
        if any(name in request.headers for name in _FORWARDED):
            return False
        site = request.headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") or request.client is None:
            return False
        server = request.scope.get("server") or ("", 0)
        return peer_is_us(tuple(request.client), tuple(server))

    def _dressed(self, send: Send, token: str | None) -> Send:
        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self._policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                headers.setdefault("Cache-Control", "no-store")
                if token is not None:
                    cookie = f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"
                    headers.append("Set-Cookie", cookie)
            await send(message)

        return dressed


def _is_page(path: str) -> bool:
    return not path.startswith(("/api/", "/health", "/metrics"))


def peer_is_us(client: tuple[object, ...], server: tuple[object, ...]) -> bool:
    """Return whether the other end of a loopback TCP connection belongs to our own user (Linux; else False).

    The kernel lists each socket with its owner in /proc/net/tcp (proc(5)); the client's socket is the one whose local
    address is the client's and whose remote address is ours.
    """
    wanted = (_hexed(client), _hexed(server))
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if (fields[1], fields[2]) == wanted:
                return int(fields[7]) == os.getuid()
    return False


def _hexed(address: tuple[object, ...]) -> str:
    host, port = str(address[0]), int(str(address[1]))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(family, host)
    # The kernel prints each 32-bit word in the byte order of the machine.
    words = (packed[start : start + 4] for start in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, 'little'):08X}" for word in words) + f":{port:04X}"
