"""Calls in the journal: one for each cause, run by as many as allowed, ended once; nothing waits unbounded."""

from __future__ import annotations

import threading

import pytest
from function_work import new_functions

from gemel.base.errors import Conflict, InvalidInput, NotFound, StoreFull
from gemel.core.stream import SqlEventLog
from gemel.core.stream.functions import LARGEST, CallTable, FunctionSpec
from gemel.core.stream.functions._calls import Taken

SPEC = FunctionSpec("f", process="doubled", concurrency=3, queue=10, keep=4)


@pytest.fixture
def functions(store):
    made = new_functions(store)
    made.deploy(SPEC)
    return made


@pytest.fixture
def table(store, functions):
    return CallTable(store, "engine-1")


def test_a_function_has_a_token_that_stays(functions):
    deployed = functions.get("f")
    assert len(deployed.token) == 64 and deployed.spec == SPEC
    with pytest.raises(Conflict):
        functions.deploy(SPEC)
    changed = functions.update(FunctionSpec("f", process="echoed"))
    assert changed.token == deployed.token and changed.changed > deployed.changed
    assert [item.spec.process for item in functions.list()] == ["echoed"]
    for nothing in ("g", ""):
        with pytest.raises(NotFound):
            functions.get(nothing)
    with pytest.raises(NotFound):
        functions.update(FunctionSpec("g", process="echoed"))
    with pytest.raises(NotFound):
        functions.deploy(FunctionSpec("g", process="unknown"))


def test_a_cause_has_one_call(functions):
    first = functions.invoke("f", b"{}", cause="rain")
    assert functions.invoke("f", b'{"other": 1}', cause="rain") == first
    assert functions.invoke("f").id != functions.invoke("f").id
    assert functions.input(first.id) == b"{}" and len(functions.calls("f")) == 3


def test_a_cause_has_one_call_however_many_tell_it_at_once(functions):
    barrier, ids = threading.Barrier(8), []

    def tell() -> None:
        barrier.wait()
        ids.append(functions.invoke("f", b"", cause="flood").id)

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8 and len(set(ids)) == 1 and len(functions.calls("f")) == 1


def test_too_much_is_refused_and_nothing_of_it_kept(functions):
    with pytest.raises(InvalidInput):
        functions.invoke("f", bytes(LARGEST + 1))
    for cause in ("x" * 301, "a\0b"):
        with pytest.raises(InvalidInput):
            functions.invoke("f", cause=cause)
    for number in range(10):
        functions.invoke("f", cause=f"{number}")
    with pytest.raises(StoreFull):
        functions.invoke("f", cause="10")
    assert functions.invoke("f", cause="9").state == "queued", "what waits already is no more"
    assert len(functions.calls("f")) == 10
    with pytest.raises(NotFound):
        functions.invoke("nothing")


def test_calls_are_begun_in_their_order_and_no_more_at_a_time_than_allowed(functions, store, table):
    ids = [functions.invoke("f", cause=f"{number}").id for number in range(5)]
    other = CallTable(store, "engine-2")
    taken = [table.take(SPEC), other.take(SPEC), table.take(SPEC)]
    assert [item.id for item in taken] == ids[:3]
    assert table.take(SPEC) is None and other.take(SPEC) is None
    assert other.finish(taken[1], b"2", "")
    assert other.take(SPEC).id == ids[3]


def test_a_call_is_never_begun_by_two(functions, store):
    spec = FunctionSpec("many", process="doubled", concurrency=64)
    functions.deploy(spec)
    for number in range(40):
        functions.invoke("many", cause=f"{number}")
    taken: list[str] = []

    def work(engine: str) -> None:
        calls = CallTable(store, engine)
        while (call := calls.take(spec)) is not None:
            taken.append(call.id)

    threads = [threading.Thread(target=work, args=(f"engine-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 40


def test_only_who_holds_a_call_ends_it(functions, store):
    call = functions.invoke("f", cause="rain")
    lost = CallTable(store, "engine-dead")
    first = lost.take(SPEC)
    heir = new_functions(store, engine="engine-2", dead=("engine-dead",))
    heir._take_over()
    assert functions.call(call.id).state == "queued" and functions.call(call.id).attempts == 1
    second = CallTable(store, "engine-2").take(SPEC)
    assert second.attempt == 2
    assert not lost.finish(first, b"late", ""), "the dead engine was not quite dead"
    assert not lost.fail(first, {"message": "late"}, "", None)
    assert CallTable(store, "engine-2").finish(second, b"right", "said")
    assert (functions.output(call.id), functions.logs(call.id)) == (b"right", "said")
    assert functions.call(call.id).document()["state"] == "finished"


def test_a_call_given_back_has_lost_no_attempt(functions, table):
    call = functions.invoke("f")
    assert table.give_back(table.take(SPEC))
    assert functions.call(call.id).attempts == 0 and functions.call(call.id).state == "queued"


def test_the_last_attempt_of_a_dead_engine_is_a_dead_letter_announced_once(functions, store):
    once = FunctionSpec("once", process="doubled", attempts=1)
    functions.deploy(once)
    call = functions.invoke("once", b'{"number": 1}')
    CallTable(store, "engine-dead").take(once)
    log = SqlEventLog(store)
    heir = new_functions(store, log, engine="engine-2", dead=("engine-dead",))
    heir.start()
    try:
        dead = heir.wait(call.id, 30)
    finally:
        heir.stop()
    assert dead.state == "failed" and dead.error["code"] == "function.engine-ended"
    # An engine that dies between announcing and noting it has an heir that announces it again.
    heir._bury(Taken(call.id, "once", call.cause, 1, dead.started, "engine-dead"), dead.error)
    (letter,) = log.read("functions/once.dead")
    assert letter.data["call"] == call.id and letter.type == "gemel.function.dead"
    assert [item.id for item in heir.dead("once")] == [call.id]


def test_dead_letters_wait_again_one_or_all(functions, table):
    ids = [functions.invoke("f", cause=f"{number}").id for number in range(3)]
    for _ in ids:
        table.fail(table.take(SPEC), {"message": "no"}, "", None)
    assert [call.id for call in functions.dead("f")] == ids[::-1]
    assert functions.replay("f", ids[1]) == [ids[1]]
    assert functions.call(ids[1]).state == "queued" and functions.call(ids[1]).attempts == 0
    assert sorted(functions.replay("f")) == sorted([ids[0], ids[2]])
    assert functions.replay("f") == [] and functions.dead("f") == []
    for wrong in (("f", ids[0]), ("f", "nothing"), ("g", None)):
        with pytest.raises(NotFound):
            functions.replay(*wrong)


def test_the_newest_finished_calls_are_kept_and_every_dead_letter(functions, table):
    for number in range(8):
        functions.invoke("f", cause=f"{number}")
    dead = table.take(SPEC)
    table.fail(dead, {"message": "no"}, "", None)
    for _ in range(7):
        table.finish(table.take(SPEC), b"", "")
    table.prune(SPEC)
    assert [call.cause for call in functions.calls("f", "finished")] == ["7", "6", "5", "4"]
    assert [call.id for call in functions.dead("f")] == [dead.id]


def test_a_removed_function_takes_its_calls_along(functions, table):
    functions.invoke("f", cause="rain")
    taken = table.take(SPEC)
    functions.remove("f")
    assert functions.calls() == [] and not table.finish(taken, b"", "")
    with pytest.raises(NotFound):
        functions.call(taken.id)
    functions.deploy(SPEC)
    assert functions.calls("f") == []


def test_calls_are_forgotten_one_by_one_or_together(functions, table):
    ids = [functions.invoke("f", cause=f"{number}").id for number in range(4)]
    table.finish(table.take(SPEC), b"", "")
    table.fail(table.take(SPEC), {"message": "no"}, "", None)
    assert functions.forget("f") == 1 and functions.forget("f", ids[2]) == 1
    assert [call.id for call in functions.calls("f")] == [ids[3], ids[1]]
    assert functions.forget("f", all=True) == 2
    with pytest.raises(NotFound):
        functions.forget("f", ids[0])


def test_states_and_pages_of_calls(functions, table):
    for number in range(5):
        functions.invoke("f", cause=f"{number}")
    table.take(SPEC)
    assert [call.cause for call in functions.calls(state="running")] == ["0"]
    assert [call.cause for call in functions.calls("f", limit=2, offset=1)] == ["3", "2"]
    assert functions.status()["f"] | {"queued": 4, "running": 1} == functions.status()["f"]
    with pytest.raises(InvalidInput):
        functions.calls(state="lost")
