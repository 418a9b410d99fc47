"""Closed by default: nobody without the token, no foreign page, no foreign name; the owner signs in by being the owner."""

from __future__ import annotations

import re

import pytest
from starlette.routing import Mount

from gemel.base.errors import Denied
from gemel.infra.lake.web import Web
from gemel.server import create_app
from gemel.server._faces import face_of, installed_faces
from gemel.server._gate import peer_is_us

PUBLIC = {"/health", "/static"}


def addresses(app) -> list[tuple[str, str]]:
    """Return (method, address) of every route of the app, also of those that routers keep to themselves."""
    found = []
    for route in app.routes:
        if isinstance(route, Mount):
            found.append(("GET", route.path + "/any.js"))
            continue
        for inner in getattr(getattr(route, "original_router", None), "routes", [route]):
            path = re.sub(r"\{[^}]*\}", "x", inner.path)
            found += [(method, path) for method in sorted(inner.methods or {"GET"})]
    return found


def test_every_route_asks_for_the_token(brook_server, stranger):
    tried = addresses(create_app(brook_server.service))
    assert len(tried) > 20
    for method, path in tried:
        if path in ("/health", "/.well-known/openeo"):
            continue
        answer = stranger.request(method, path)
        assert answer.status_code == 401, (method, path)
        if method != "HEAD" and face_of(installed_faces(), path) is None:  # faces speak their standard's words
            assert answer.json()["code"] == "access.unauthenticated" and answer.headers["WWW-Authenticate"] == "Bearer"


def test_pages_ask_whoever_is_not_the_owner(stranger):
    for path in ("/", "/twins", "/runs", "/twins/brook", "/nothing/here"):
        answer = stranger.get(path, headers={"X-Forwarded-For": "10.0.0.7"})
        assert answer.status_code == 401 and "set-cookie" not in answer.headers, path


def test_health_says_how_it_is_and_nothing_else_without_a_token(stranger):
    assert stranger.get("/health").json()["status"] == "ok"
    assert stranger.post("/health").status_code == 401


@pytest.mark.parametrize("shown", ["Bearer wrong", "Basic abc", "bearer", "Bearer é"])
def test_a_wrong_token_is_none(brook_server, shown):
    with brook_server.client(signed_in=False) as client:
        answer = client.get("/api/v1/twins", headers={b"Authorization": shown.encode()})
        assert answer.status_code == 401
        # Whoever shows a wrong token is not signed in instead.
        if shown == "Bearer wrong":
            assert client.get("/", headers={"Authorization": shown}).status_code == 401


def test_the_token_opens_by_header_and_by_cookie(brook_server, stranger):
    assert stranger.get("/api/v1/twins", headers={"Authorization": f"Bearer {brook_server.token}"}).status_code == 200
    assert stranger.get("/api/v1/twins", headers={"Cookie": f"gemel_token={brook_server.token}"}).status_code == 200
    assert stranger.get("/api/v1/twins", headers={"Cookie": "gemel_token=wrong"}).status_code == 401
    assert stranger.get("/api/v1/twins", headers={"Cookie": ";;=;gemel_token"}).status_code == 401


def test_the_page_signs_in_whoever_started_the_engine(brook_server, stranger):
    answer = stranger.get("/twins")
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"gemel_token={brook_server.token};")
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert stranger.get("/api/v1/twins").status_code == 200, "the cookie opens the rest"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "10.0.0.7"},
        {"Forwarded": "for=10.0.0.7"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "10.0.0.7"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_nobody_is_signed_in_through_a_proxy_or_from_another_page(stranger, headers):
    answer = stranger.get("/", headers=headers)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers


def test_neither_the_api_nor_a_write_signs_anybody_in(stranger):
    for answer in (stranger.get("/api/v1/twins"), stranger.get("/metrics"), stranger.post("/")):
        assert answer.status_code == 401 and "set-cookie" not in answer.headers


def test_a_connection_is_ours_only_when_the_kernel_says_so():
    assert not peer_is_us(("127.0.0.1", 1), ("127.0.0.1", 2))
    assert not peer_is_us(("::1", 1), ("::1", 2))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8400", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_a_foreign_name_is_refused_even_with_the_token(brook_server, owner, host):
    for path in ("/", "/api/v1/twins", "/health"):
        answer = owner.get(path, headers={"Host": host})
        # An empty name may already be refused below us.
        assert answer.status_code in ((400, 403) if not host else (403,)), path
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_names_of_this_machine_are_answered_to(owner, name):
    port = owner.base_url.port
    assert owner.get("/api/v1/twins", headers={"Host": f"{name}:{port}"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_a_foreign_page_can_start_nothing(owner, origin):
    answer = owner.post("/api/v1/twins/brook/runs", json={}, headers={"Origin": origin})
    assert answer.status_code == 403 and answer.json()["code"] == "access.denied"


def test_the_own_page_can(owner, brook_server):
    answer = owner.post("/api/v1/twins/brook/runs?wait=20", json={}, headers={"Origin": brook_server.url})
    assert answer.status_code == 201


def test_every_answer_carries_the_headers_that_protect_pages(owner, stranger):
    for answer in (owner.get("/"), owner.get("/api/v1/twins"), stranger.get("/api/v1/twins"), owner.get("/nothing")):
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"


def test_static_files_need_no_token_to_be_useless(stranger, owner):
    page = owner.get("/").text
    (script, *_) = re.findall(r'src="(/static/[^"]+)"', page)
    assert owner.get(script).status_code == 200
    assert stranger.get(script).status_code == 200
    for path in ("/static/../../token", "/static/%2e%2e/%2e%2e/token", "/static//etc/passwd"):
        assert stranger.get(path).status_code in (401, 403, 404)


def test_what_is_fetched_on_somebodys_behalf_is_not_taken_for_the_owner(brook_server):
    # Asked by this very user from this very machine: an address that somebody handed in must open nothing.
    with Web() as web, pytest.raises(Denied):
        web.document(f"{brook_server.url}/api/v1/runs")
