"""Who may be an agent: whoever shows its token, and nobody else, not even the engine's owner."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from agent_stage import Field

AGENT = "agent-" + "1" * 26


def client(site: Field, token: str | None = None, **headers: str) -> httpx2.Client:
    shown = {"Gemel-Storage": site.name, "Gemel-Agent": AGENT} | {k.replace("_", "-"): v for k, v in headers.items()}
    shown |= {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx2.Client(base_url=f"{site.serving.url}/agent/v1", headers=shown, timeout=30.0)


@pytest.mark.parametrize("method,path", [
    ("GET", "/tasks"), ("POST", "/beat"), ("POST", "/leave"), ("POST", "/tasks/x"), ("POST", "/tasks/x/back"),
    ("GET", "/tasks/x/body"), ("PUT", "/tasks/x/body"),
])  # fmt: skip
def test_every_door_asks_for_the_token_of_an_agent(site: Field, method: str, path: str) -> None:
    site.engine.storages.add(f"{site.name}-b", "agent", {})
    for token, status in (
        (None, 401), ("wrong", 401), (site.serving.token, 401), (site.token(f"{site.name}-b"), 403),
    ):  # fmt: skip
        with client(site, token) as caller:
            answer = caller.request(method, path)
            assert (answer.status_code, set(answer.json()["error"]) >= {"code", "message", "hint"}) == (status, True)
    with client(site, site.token()) as caller:
        assert caller.request(method, path).status_code in (200, 400, 404, 422)


def test_bad_requests_are_refused(site: Field) -> None:
    with client(site, site.token()) as good:
        assert good.get("/tasks?wait=0&most=x").json()["tasks"] == []
        for content in (b"{", b"[]", b'{"done": 5}', b'{"done": {"a": "b"}}', b" " * 2_000_000):
            assert good.post("/beat", content=content).status_code in (400, 422)
        assert good.post("/beat", json={"done": {"unknown": 5}}).json() == {"withdrawn": ["unknown"]}
        assert good.get("/nothing").status_code == 404
        assert good.delete("/tasks").status_code == 405
    with client(site, site.token(), Gemel_Agent="x") as nameless:
        assert nameless.get("/tasks").status_code in (400, 422)
    with client(site, site.token("home"), Gemel_Storage="home") as other:
        assert other.get("/tasks").status_code == 404


def test_a_token_is_made_by_a_command_for_its_owner_alone(tmp_path: Path) -> None:
    start = "from gemel.cli import main; main()"
    command = [sys.executable, "-c", start, "data", "agent-token", "hpc", "--to", str(tmp_path / "token"), "--json"]
    environment = {"GEMEL_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert '"storage": "hpc"' in done.stdout and (tmp_path / "token").read_text().strip() not in done.stdout
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_an_agent_starts_without_the_libraries_of_cubes() -> None:
    code = "import sys, gemel.cli._data_agent; print([m for m in ('xarray', 'numpy', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
