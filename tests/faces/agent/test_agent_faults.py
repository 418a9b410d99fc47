"""What dies, lies or dawdles: nothing is half-written, transfers are tried again and end right, errors say what to do."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from agent_stage import LIMITS, AgentProcess, Field, fielded

from gemel.base.config import load_settings
from gemel.base.errors import NotFound, ResultCorrupt, StoreUnavailable
from gemel.core.engine import Service, open_engine
from gemel.infra.access import read_token
from gemel.infra.lake.mover import Patience
from stage import Serving, until, up

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
LARGE = random.Random(5).randbytes(24_000_000)


class Slowly:
    """A stream that hands out `LARGE` and stops in the middle until it is told to go on."""

    def __init__(self) -> None:
        self._file, self.reached, self.go_on = io.BytesIO(LARGE), threading.Event(), threading.Event()

    def read(self, size: int = -1, /) -> bytes:
        if self._file.tell() >= 8_000_000:
            self.reached.set()
            assert self.go_on.wait(30)
        return self._file.read(size)


def put(site: Field, path: Path, name: str, content: bytes, storage: str = "home") -> str:
    path.write_bytes(content)
    site.engine.datasets.put(path, name, storage=storage)
    return name


def test_without_an_agent_the_error_says_how_to_start_one(site: Field) -> None:
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="No agent of storage") as caught:
        site.storage.stat("a")
    assert "gemel data agent" in str(caught.value.hint) and site.name in str(caught.value.hint)
    assert time.monotonic() - begun < 3 * LIMITS.patience
    assert not site.storage.reachable


def test_an_agent_killed_in_a_write_leaves_nothing_and_another_one_goes_on(site: Field) -> None:
    first = site.agent()
    site.storage.write("kept", io.BytesIO(b"as it was"))
    for path in ("kept", "new"):
        agent, stream = (first if path == "kept" else site.agent()), Slowly()
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(site.storage.write, path, stream, len(LARGE))
            assert stream.reached.wait(30)
            until(lambda: any(".writing-" in item for item in site.left()))
            agent.kill()
            stream.go_on.set()
            with pytest.raises(StoreUnavailable):
                writing.result()
        assert [item for item in site.left() if ".writing-" not in item] == ["kept"]
    site.agent()
    assert site.storage.open("kept").read() == b"as it was"
    assert [entry.path for entry in site.storage.list()] == ["kept"]
    assert site.storage.write("new", io.BytesIO(LARGE), len(LARGE)) == len(LARGE)


def test_an_agent_killed_while_a_file_is_read_is_replaced_and_the_reader_notices_nothing(site: Field) -> None:
    agent = site.agent()
    site.storage.write("large", io.BytesIO(LARGE))
    with site.storage.open("large") as file:
        found = file.read(5_000_000)
        agent.kill()
        site.agent()
        found += file.read()
    assert hashlib.sha256(found).digest() == hashlib.sha256(LARGE).digest()


def test_sigterm_gives_tasks_back_leaves_nothing_and_exits_with_0(site: Field) -> None:
    agent, stream = site.agent(), Slowly()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(site.storage.write, "new", stream, len(LARGE))
        assert stream.reached.wait(30)
        until(lambda: any(".writing-" in item for item in site.left()))
        agent.process.send_signal(signal.SIGTERM)
        stream.go_on.set()
        assert agent.process.wait(20) == 0
        with pytest.raises(StoreUnavailable):
            writing.result()
    assert site.left() == []
    assert not site.storage.reachable
    assert [event["agent"] for event in agent.events() if "agent" in event][-1] == "stopped"


def test_a_second_agent_stands_by_and_takes_over(site: Field, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (site.folder / "who").write_text("first")
    (other / "who").write_text("second")
    first = site.agent()
    second = site.agent(folder=other, wait="standing by")
    # Two folders are never taken for one.
    assert {site.storage.open("who").read() for _ in range(10)} == {b"first"}
    first.kill()
    until(lambda: second.events(agent="connected"))
    assert site.storage.open("who").read() == b"second"


class Liar:
    """An agent that says of everything what it wants."""

    def __init__(self, site: Field, answer: dict[str, object]) -> None:
        self.http = httpx2.Client(base_url=f"{site.serving.url}/agent/v1", timeout=30.0, headers={
            "Authorization": f"Bearer {site.token()}", "Gemel-Storage": site.name, "Gemel-Agent": "agent-" + "0" * 26,
        })  # fmt: skip
        self._answer = answer

    def serve(self, count: int) -> None:
        while count:
            for task in self.http.get("/tasks").json()["tasks"]:
                if task["verb"] == "write":
                    self.http.get(f"/tasks/{task['id']}/body")
                self.http.post(f"/tasks/{task['id']}", json={"result": self._answer})
                count -= 1


@contextlib.contextmanager
def lying(site: Field, count: int, **answer: object) -> Iterator[None]:
    liar = Liar(site, answer)
    with liar.http, ThreadPoolExecutor(1) as pool:
        done = pool.submit(liar.serve, count)
        until(lambda: site.storage.reachable)
        yield
        done.result()


def test_an_agent_that_lies_about_a_digest_is_found_out(site: Field, tmp_path: Path) -> None:
    with lying(site, 1, size=3, sha256="00" * 32), pytest.raises(ResultCorrupt, match="another digest"):
        site.storage.write("file", io.BytesIO(b"abc"))
    with lying(site, 1, size=3, digests={"sha256": "no digest"}), pytest.raises(StoreUnavailable, match="digest"):
        site.storage.digest("file", "sha256")


def test_a_slow_agent_is_given_up_after_a_while(site: Field) -> None:
    liar = Liar(site, {})
    with liar.http, ThreadPoolExecutor(1) as pool:
        liar.http.get("/tasks?wait=0")
        asking = pool.submit(site.storage.stat, "file")
        tasks = liar.http.get("/tasks").json()["tasks"]
        assert [task["verb"] for task in tasks] == ["stat"]
        withdrawn: list[str] = []

        def told() -> bool:
            # It lives, says so, and does nothing.
            withdrawn.extend(liar.http.post("/beat", json={"done": {tasks[0]["id"]: 0}}).json()["withdrawn"])
            return bool(withdrawn)

        until(told)
        with pytest.raises(StoreUnavailable, match="did not get on"):
            asking.result()
        assert liar.http.post(f"/tasks/{tasks[0]['id']}", json={"result": {"size": 1}}).status_code == 404


def test_a_task_of_a_dead_agent_goes_to_the_next_one(site: Field) -> None:
    (site.folder / "file").write_bytes(b"abc")
    liar = Liar(site, {})
    with liar.http, ThreadPoolExecutor(1) as pool:
        liar.http.get("/tasks?wait=0")
        asking = pool.submit(site.storage.size, "file")
        assert len(liar.http.get("/tasks").json()["tasks"]) == 1
        site.agent(wait=None)
        assert asking.result() == 3


def test_an_agent_outlives_its_engine(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = load_settings(home=home, environ={}, folder=tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with contextlib.ExitStack() as stack:
        with open_engine(settings) as engine:
            live = Serving(f"http://127.0.0.1:{port}", read_token(home), home, Service(engine))
            site = stack.enter_context(fielded(live, "far", tmp_path / "far"))
            agent = site.agent(wait="away")  # it may be there first
        for times, content in enumerate((b"before", b"after"), 1):
            with up("--port", str(port), home=home, cwd=home) as (again, process), _client(again, "far") as client:
                until(functools.partial(_connected, agent, times))
                (site.folder / "file").write_bytes(content)
                assert client.get("/file").content == content
                process.kill()
            until(lambda: agent.events()[-1].get("agent") == "away")
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(20) == 0


def _connected(agent: AgentProcess, times: int) -> bool:
    return len(agent.events(agent="connected")) == times


def _client(serving: Serving, storage: str) -> httpx2.Client:
    shown = {"Authorization": f"Bearer {serving.token}"}
    return httpx2.Client(base_url=f"{serving.url}/dav/{storage}", headers=shown, timeout=60.0)


def test_a_hundred_files_go_there_and_back_through_the_mover_though_the_agent_is_killed(
    site: Field, tmp_path: Path
) -> None:
    names = [
        put(site, tmp_path / "in", f"many:{site.name}.{number}", random.Random(number).randbytes(50_000))
        for number in range(100)
    ]
    site.engine.lake.mover._patience = Patience(attempts=20, first=0.1, most=1.0, lease=10.0)
    agent, killed = site.agent(), []

    def die(found) -> None:
        if sum(item.state == "done" for item in found) >= 30 and not killed:
            killed.append(agent.kill())
            site.agent(wait=None)

    asked = [item.id for item in site.engine.lake.mover.request(names, site.name, only=True)]
    done = site.engine.lake.mover.work(asked, progress=die, workers=3)
    assert {item.state for item in done} == {"done"}, [item.error for item in done if item.state != "done"]
    assert killed
    assert {item.storage for name in names for item in site.engine.datasets.get(name).replicas} == {site.name}
    assert len([item for item in site.left() if ".writing-" not in item]) == 100
    asked = [item.id for item in site.engine.lake.mover.request(names, "home", only=True)]
    done = site.engine.lake.mover.work(asked, workers=3)
    assert {item.state for item in done} == {"done"}
    assert {finding.outcome for finding in site.engine.datasets.verify(names, repair=False)} == {"good"}
    assert [item for item in site.left() if ".writing-" not in item] == []


def test_transfers_wait_for_a_site_that_is_away_without_using_up_attempts(site: Field, tmp_path: Path) -> None:
    name = put(site, tmp_path / "in", f"wait:{site.name}", b"rain")
    mover = site.engine.lake.mover
    (there,) = mover.request([name], site.name, only=True)
    assert site.engine.storages.unreachable() >= {site.name}
    assert not mover.take(ids=[there.id])
    agent = site.agent()
    assert [item.state for item in mover.work([there.id])] == ["done"]
    agent.kill()
    until(lambda: not site.storage.reachable)
    (back,) = mover.request([name], "home")
    assert mover.take(ids=[back.id])
    found = mover.queue.get(back.id)
    assert (found.state, found.attempts) == ("queued", 0)
    site.agent()
    assert [item.state for item in mover.work([back.id])] == ["done"]


def test_a_process_that_does_not_serve_says_so(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, environ={}, folder=tmp_path)
    with open_engine(settings) as engine:
        engine.storages.add("far", "agent", {})
        assert engine.storages.unreachable() == {"far"}
        with pytest.raises(StoreUnavailable, match="calls the engine that serves"):
            engine.storages.get("far").stat("a")


def test_a_link_out_of_the_folder_leads_nowhere(site: Field, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (site.folder / "link").symlink_to(tmp_path / "secret")
    site.agent()
    with pytest.raises(PermissionError):
        site.storage.open("link")
    with pytest.raises(NotFound):
        site.storage.stat("nothing")
