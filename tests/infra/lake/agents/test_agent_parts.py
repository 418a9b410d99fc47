"""Parts of the line between engine and agent: bodies that cannot be cut short, channels that wait, tasks that are held by one."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import (
    ConfigInvalid,
    Conflict,
    Denied,
    GemelError,
    InvalidInput,
    NotFound,
    ResultCorrupt,
    StoreUnavailable,
    Unauthenticated,
)
from gemel.infra.lake.agents import (
    AgentKeys,
    AgentStorage,
    Broken,
    Channel,
    Exchange,
    Framed,
    Limits,
    Site,
    ending,
    frame,
)
from gemel.infra.lake.tokens import Macaroon

PIECES = st.lists(st.binary(min_size=1, max_size=50), max_size=8)
QUICK = Limits(patience=0.2, lease=0.2, silence=0.4, turn=5.0, poll=0.2)


def body(pieces: list[bytes]) -> bytes:
    whole = b"".join(pieces)
    told = {"size": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    return b"".join(map(frame, pieces)) + ending(told)


def read(raw: bytes, cut: int, size: int) -> bytes:
    framed = Framed(iter([raw[at : at + cut] for at in range(0, len(raw), cut)]))
    return b"".join(iter(lambda: framed.read(size), b""))


@given(PIECES, st.integers(1, 30), st.integers(1, 60))
def test_what_is_framed_comes_out_however_it_is_cut(pieces: list[bytes], cut: int, size: int) -> None:
    assert read(body(pieces), cut, size) == b"".join(pieces)


@given(PIECES, st.data())
def test_a_body_that_breaks_off_anywhere_is_never_taken_for_whole(pieces: list[bytes], data: st.DataObject) -> None:
    raw = body(pieces)
    with pytest.raises(StoreUnavailable):
        read(raw[: data.draw(st.integers(0, len(raw) - 1))], 7, 10)


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=8), st.data())
def test_a_byte_that_changed_is_seen(pieces: list[bytes], data: st.DataObject) -> None:
    raw = bytearray(body(pieces))
    at = data.draw(st.integers(4, 3 + len(pieces[0])))
    raw[at] ^= 1
    with pytest.raises(ResultCorrupt):
        read(bytes(raw), 7, 10)


def test_a_sender_that_gave_up_says_so() -> None:
    with pytest.raises(StoreUnavailable, match="broke off"):
        read(frame(b"rain") + ending({"broken": True}), 3, 10)
    with pytest.raises(StoreUnavailable, match="announced"):
        read(b"\xff" * 50, 3, 10)


@given(PIECES, st.integers(1, 60))
def test_a_channel_passes_everything_in_order(pieces: list[bytes], size: int) -> None:
    channel = Channel(5.0)
    for piece in pieces:
        channel.put(piece)
    channel.end()
    assert b"".join(iter(lambda: channel.read(size), b"")) == b"".join(pieces)


def test_the_faster_side_of_a_channel_waits_and_the_end_of_one_side_ends_the_other() -> None:
    channel, piece = Channel(30.0), bytes(1 << 20)
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(lambda: [channel.put(piece) for _ in range(8)])
        for _ in range(6):
            assert channel.read() == piece
        channel.read()
        channel.read()
        put.result()
        more = pool.submit(lambda: [channel.put(piece) for _ in range(8)])
        channel.read()
        channel.fail()
        with pytest.raises(Broken):
            more.result()
    with pytest.raises(Broken):
        channel.read()
    with pytest.raises(Broken):
        Channel(0.01).read()


@pytest.fixture
def exchange() -> Exchange:
    found = Exchange(QUICK)
    found.open()
    return found


def test_tasks_go_to_one_agent_once_and_in_order(exchange: Exchange) -> None:
    tasks = [exchange.post("site", "stat", {"path": str(number)}) for number in range(5)]
    exchange.post("other", "stat", {})
    taken = [task.id for task in exchange.take("site", "a", 3)] + [task.id for task in exchange.take("site", "a", 9)]
    assert taken == [task.id for task in tasks]
    assert exchange.take("site", "a", 9) == []
    with pytest.raises(Conflict, match="Another agent"):
        exchange.take("site", "b", 9)


def test_a_task_of_a_silent_agent_is_given_to_the_next_and_after_three_it_fails(exchange: Exchange) -> None:
    task = exchange.post("site", "stat", {})
    for agent in "abc":
        exchange.take("site", agent, 1)
        assert (task.holder, task.attempts) == (agent, "abc".index(agent) + 1)
        exchange.leave("site", agent)
    with pytest.raises(StoreUnavailable, match="went away"):
        exchange.wait(task)
    # Its late answer is dropped.
    exchange.answer(task.id, "c", {"result": {}})
    with pytest.raises(NotFound):
        exchange.held(task.id, "site", "c")


def test_a_task_whose_bytes_have_begun_to_pass_is_not_done_again(exchange: Exchange) -> None:
    task = exchange.post("site", "write", {}, Channel(1.0))
    exchange.take("site", "a", 1)
    exchange.held(task.id, "site", "a", begin=True)
    with pytest.raises(Conflict, match="passed already"):
        exchange.held(task.id, "site", "a", begin=True)
    exchange.leave("site", "a")
    with pytest.raises(StoreUnavailable, match="in the middle"):
        exchange.wait(task)


def test_an_agent_has_no_business_with_tasks_of_another_storage(exchange: Exchange) -> None:
    task = exchange.post("site", "stat", {})
    exchange.take("site", "a", 1)
    for storage, agent in (("other", "a"), ("site", "b")):
        with pytest.raises(NotFound):
            exchange.held(task.id, storage, agent)
    assert exchange.beat("other", "a", {task.id: 5}) == [] and task.done == 0


def test_whoever_waits_can_stop_and_the_agent_hears_of_it() -> None:
    exchange = Exchange()
    exchange.open()
    task = exchange.post("site", "fetch", {})
    exchange.take("site", "a", 1)

    class Stop(Exception):
        pass

    def stop(done: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        exchange.wait(task, stop)
    assert exchange.beat("site", "a", {task.id: 5}) == [task.id]


def test_nobody_is_waited_for_for_ever(exchange: Exchange) -> None:
    task = exchange.post("site", "stat", {})
    with pytest.raises(StoreUnavailable, match="No agent of storage 'site'"):
        exchange.wait(task)
    threading.Event().wait(QUICK.patience)
    with pytest.raises(StoreUnavailable, match="since the engine began"):
        exchange.post("site", "stat", {})
    exchange.close()
    with pytest.raises(StoreUnavailable, match="does not"):
        exchange.post("site", "stat", {})


@pytest.mark.parametrize("kind", [NotFound, Denied, Unauthenticated, InvalidInput, ResultCorrupt, StoreUnavailable])
def test_errors_of_the_agent_keep_their_kind(exchange: Exchange, kind: type[GemelError]) -> None:
    task = exchange.post("site", "stat", {})
    exchange.take("site", "a", 1)
    exchange.answer(task.id, "a", {"error": {"code": kind.code, "message": "So it is.", "hint": "Do this."}})
    with pytest.raises(kind, match="So it is") as caught:
        exchange.wait(task)
    assert (type(caught.value), caught.value.hint) == (kind, "Do this.")


def test_tokens_open_one_storage_for_a_while(tmp_path: Path) -> None:
    keys = AgentKeys(tmp_path)
    token, ends = keys.minted("site", timedelta(hours=1))
    keys.require(token, "site")
    assert ends.endswith("Z") and (tmp_path / "keys" / "site-agents.key").stat().st_mode & 0o077 == 0
    with pytest.raises(Denied, match="not for the agent"):
        keys.require(token, "other")
    narrow = Macaroon.parse(token)
    with pytest.raises(Unauthenticated, match="over"):
        keys.require(narrow.attenuated(["before:2001-01-01T00:00:00Z"]).text, "site")
    for caveat in ("storage:other", "unheard-of:x", "before:soon"):
        with pytest.raises(Denied):
            keys.require(narrow.attenuated([caveat]).text, "site")
    for wrong in ("", "x", token[:-4], AgentKeys(tmp_path / "other").minted("site", timedelta(hours=1))[0]):
        with pytest.raises(Unauthenticated):
            keys.require(wrong, "site")
    with pytest.raises(InvalidInput):
        keys.minted("site", timedelta(days=1000))
    (tmp_path / "keys" / "site-agents.key").chmod(0o644)
    with pytest.raises(StoreUnavailable, match="Others can read"):
        keys.require(token, "site")


def test_a_site_is_told_in_a_file_or_by_options(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    text = f'[agent]\nengine = "https://e.example"\nstorage = "s"\nfolder = "{tmp_path}"\ntoken = "env:T"\n'
    file.write_text(text)
    assert Site.read(file, {"storage": None}) == Site("https://e.example", "s", tmp_path, "env:T")
    assert Site.read(file, {"storage": "t", "tasks": 2}).storage == "t"
    for wrong in (
        text.replace("env:T", "secret"),
        text.replace("https://e.example", "ftp://e"),
        text.replace("storage", "storrage"),
        text.replace(str(tmp_path), str(tmp_path / "none")),
        text + "tasks = 0\n",
        text + 'tasks = "4"\n',
        text.replace("[agent]", "[agents]"),
        text.replace('storage = "s"\n', ""),
        "[agent",
    ):
        file.write_text(wrong)
        with pytest.raises(ConfigInvalid):
            Site.read(file, {})
    assert Site("http://far.example", "s", tmp_path, "env:T").in_clear
    assert not Site("http://localhost:8400", "s", tmp_path, "env:T").in_clear


def test_a_storage_without_an_exchange_says_what_to_do() -> None:
    storage = AgentStorage("far", {})
    assert not storage.reachable
    with pytest.raises(StoreUnavailable, match="calls the engine that serves"):
        storage.stat("a")
    with pytest.raises(ConfigInvalid):
        AgentStorage("far", {"folder": "/x"})
