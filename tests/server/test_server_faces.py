"""A standard spoken by another distribution is hosted like ours: its own shape of errors, its own public paths, the same gate."""

from __future__ import annotations

import pytest

from stage import Serving, install_plugin, up

FACE = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


class Hello:
    prefix = "/hello/1"
    roots = ("/.well-known/hello",)

    def app(self, hosting):
        def secret(request):
            return PlainTextResponse(request.scope["actor"].id)

        def public(request):
            return PlainTextResponse(str(len(hosting.service.twins()) >= 0))

        def link(request):
            return PlainTextResponse(hosting.links.query("/hello/1/secret", 60))

        return Starlette(routes=[Route("/secret", secret), Route("/public", public), Route("/link", link)])

    def root_routes(self, hosting):
        return [Route("/.well-known/hello", lambda request: PlainTextResponse("here"))]

    def is_public(self, method, path):
        return method == "GET" and path in ("/hello/1/public", *self.roots)

    def shown(self, credentials):
        return credentials.removeprefix("hello:")

    def refuse(self, request, error):
        return PlainTextResponse(f"hello says {error.code}", 418)


Plugin = Hello()
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    place = tmp_path_factory.mktemp("face")
    (place / "home").mkdir()
    install_plugin(place / "site", "faces", "hello", FACE)
    broken = "raise ImportError('not today')"
    install_plugin(place / "site", "faces", "sulking", broken)
    with up(home=place / "home", cwd=place, PYTHONPATH=str(place / "site")) as (serving, _):
        yield serving


def test_what_a_face_calls_public_is_read_by_anyone_and_nothing_else(engine: Serving) -> None:
    with engine.client(signed_in=False) as stranger:
        assert stranger.get("/hello/1/public").text == "True"
        assert stranger.get("/.well-known/hello").text == "here"
        for method, path in (("GET", "/hello/1/secret"), ("POST", "/hello/1/public"), ("GET", "/hello/1/nothing")):
            answer = stranger.request(method, path)
            assert answer.status_code == 418 and answer.text == "hello says access.unauthenticated"


def test_a_face_says_where_the_token_is(engine: Serving) -> None:
    with engine.client(signed_in=False, Authorization=f"Bearer hello:{engine.token}") as spoken:
        assert spoken.get("/hello/1/secret").text == "owner"
        assert spoken.get("/api/v1/twins").status_code == 401
    with engine.client() as owner:
        assert owner.get("/hello/1/secret").text == "owner"


def test_the_gate_stays_shut_to_foreign_names_and_pages(engine: Serving) -> None:
    with engine.client(Host="evil.example") as foreign:
        assert foreign.get("/hello/1/public").text == "hello says access.denied"
    with engine.client(Origin="https://evil.example") as foreign:
        assert foreign.get("/hello/1/secret").text == "hello says access.denied"


def test_a_signed_address_opens_one_thing(engine: Serving) -> None:
    with engine.client() as owner, engine.client(signed_in=False) as stranger:
        query = owner.get("/hello/1/link").text
        assert stranger.get(f"/hello/1/secret?{query}").text == "link"
        assert stranger.get(f"/hello/1/link?{query}").status_code == 418
        assert stranger.get(f"/api/v1/twins?{query}").status_code == 401


def test_a_face_that_cannot_be_loaded_takes_nothing_down(engine: Serving) -> None:
    with engine.client() as owner:
        plugins = {item["name"]: item for item in owner.get("/api/v1/plugins").json()["plugins"]}
        assert plugins["openeo"]["healthy"] and plugins["hello"]["healthy"] and not plugins["sulking"]["healthy"]
        assert owner.get("/openeo/1.2/").status_code == 200
