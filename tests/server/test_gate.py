"""Closed by default: no route answers a stranger, a foreign name or a foreign page; the owner's browser signs in itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gemel.base.config import load_settings
from gemel.base.errors import PortInUse, StoreUnavailable
from gemel.cli._pages import engine_pages
from gemel.core.engine import Service, open_engine
from gemel.infra.access import read_token, token_path
from gemel.server import bind, create_app
from stage import Serving, serving, write_brook


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    place = tmp_path_factory.mktemp("served")
    write_brook(place, [1.0, 2.0, 3.0])
    settings = load_settings(home=place / "home", assignments=[f"twins.folders={place}"])
    with open_engine(settings) as opened, serving(Service(opened), engine_pages()) as served:
        yield served


def _filled(path: str) -> str:
    for name in ("twin", "run", "view", "name", "path"):
        path = path.replace(f"{{{name}}}", "x").replace(f"{{{name}:path}}", "x")
    return path


def test_no_route_answers_without_the_token(engine: Serving) -> None:
    routes = create_app(engine.service, engine_pages()).openapi()["paths"]
    assert len(routes) > 20
    with engine.client(signed_in=False, Accept="application/json") as stranger:
        for path, methods in routes.items():
            for method in methods:
                answer = stranger.request(method, _filled(path), headers={"X-Forwarded-For": "10.0.0.1"})
                allowed = path == "/health"
                assert (answer.status_code == 200) is allowed, (method, path, answer.status_code)
                if not allowed:
                    assert answer.status_code == 401
                    assert method == "head" or answer.json()["code"] == "access.unauthenticated"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"])
def test_a_foreign_name_is_refused_even_with_the_token(engine: Serving, host: str) -> None:
    with engine.client(Host=host) as owner:
        assert owner.get("/api/v1/twins").status_code == 403


def test_a_foreign_page_is_refused_even_with_the_cookie(engine: Serving) -> None:
    with engine.client(signed_in=False, Cookie=f"gemel_token={engine.token}") as browser:
        assert browser.get("/api/v1/twins").status_code == 200
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            answer = browser.post("/api/v1/twins/brook/whatif", headers={"Origin": origin}, json={})
            assert answer.status_code == 403, origin


def test_wrong_tokens_are_refused(engine: Serving) -> None:
    for shown in ("Bearer wrong", f"Basic {engine.token}", "Bearer", f"Bearer {engine.token}x"):
        with engine.client(signed_in=False, Authorization=shown) as stranger:
            assert stranger.get("/api/v1/twins").status_code == 401, shown


def test_the_page_signs_its_owner_in_and_nobody_else(engine: Serving) -> None:
    with engine.client(signed_in=False) as browser:
        page = browser.get("/twins", headers={"Accept": "text/html"})
        assert page.status_code == 200
        cookie = page.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        # The connection is ours, but these requests are not our own opening of the page.
        for headers in ({"X-Forwarded-For": "10.1.2.3"}, {"Sec-Fetch-Site": "cross-site"}, {"Via": "1.1 proxy"}):
            refused = httpx2.get(f"{engine.url}/twins", headers=headers)
            assert refused.status_code == 401, headers
            assert "set-cookie" not in refused.headers


def test_the_api_never_signs_in_by_connection(engine: Serving) -> None:
    answer = httpx2.get(f"{engine.url}/api/v1/twins")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_every_answer_carries_the_security_headers(engine: Serving) -> None:
    with engine.client() as owner:
        for path in ("/", "/api/v1/twins", "/nothing", "/static/logo.svg"):
            headers = owner.get(path).headers
            assert "default-src 'self'" in headers["content-security-policy"], path
            assert headers["x-content-type-options"] == "nosniff", path


def test_errors_are_problem_documents(engine: Serving) -> None:
    with engine.client() as owner:
        cases = {
            ("GET", "/api/v1/nothing"): 404,
            ("DELETE", "/api/v1/twins"): 405,
            ("GET", "/api/v1/twins/nope"): 404,
            ("GET", "/api/v1/runs/nope"): 404,
            ("GET", "/api/v1/runs?limit=none"): 400,
            ("POST", "/api/v1/twins/brook/runs"): 400,
        }
        for (method, path), status in cases.items():
            answer = owner.request(method, path)
            assert answer.status_code == status, (path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert {"type", "title", "status", "detail", "code"} <= answer.json().keys()


def test_a_bad_scenario_names_parameter_and_bound(engine: Serving) -> None:
    with engine.client() as owner:
        answer = owner.post("/api/v1/twins/brook/whatif", json={"parameters": {"rain": 1e9}})
        assert answer.status_code == 400
        assert answer.json()["code"] == "input.out-of-bounds"
        assert answer.json()["context"]["name"] == "rain"
        assert owner.post("/api/v1/twins/brook/whatif", json={"parametres": {}}).status_code == 400


def test_events_resume_where_the_page_lost_them(engine: Serving) -> None:
    service = engine.service
    assert service is not None
    live = service.engine.go_live(service.engine.twin("brook"))
    live.wait_finished()
    told = service.events("brook", 0, 0.0)
    assert [event["type"] for _, event in told].count("gemel.twin.updated") == 3
    before = told[-2][0]
    with engine.client() as owner:
        headers = {"Last-Event-ID": str(before)}
        with owner.stream("GET", "/api/v1/twins/brook/events", headers=headers) as answer:
            lines = answer.iter_lines()
            identity = next(line for line in lines if line.startswith("id: "))
            data = next(line for line in lines if line.startswith("data: "))
    assert int(identity.removeprefix("id: ")) == told[-1][0]
    assert json.loads(data.removeprefix("data: ")) == told[-1][1]


def test_the_token_is_stable_private_and_refused_when_others_can_read_it(tmp_path: Path) -> None:
    token = read_token(tmp_path)
    assert len(token) >= 40
    assert read_token(tmp_path) == token
    assert token_path(tmp_path).stat().st_mode & 0o777 == 0o600
    token_path(tmp_path).chmod(0o640)
    with pytest.raises(StoreUnavailable, match="Others can read"):
        read_token(tmp_path)


def test_a_port_in_use_is_told_with_the_next_command() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)) as refused:
            bind("127.0.0.1", port)
    assert refused.value.hint == f"gemel up --port {port + 1}"
