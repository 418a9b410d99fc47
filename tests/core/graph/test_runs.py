"""Runs: what is recorded, what is skipped, what happens side by side, and what a failure leaves behind."""

from __future__ import annotations

import threading

import pytest
import xarray as xr

from gemel.base.errors import StepFailed, StoreUnavailable
from gemel.core.graph import Field, Retry, graph, process
from gemel.infra.store import schema

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _fresh_calls() -> None:
    CALLS.clear()


@process
def source(n: int) -> float:
    """A number."""
    CALLS.append(f"source {n}")
    return float(n)


@process
def tenfold(x: float) -> float:
    """Ten times as much."""
    CALLS.append("tenfold")
    return 10 * x


@process
def total(items: list) -> float:
    """The sum."""
    CALLS.append("total")
    return float(sum(items))


@graph
def chain(n: int) -> float:
    """Two steps."""
    return tenfold(source(n))


def test_run_records_steps_outputs_and_times(bench):
    run = bench.run(chain, {"n": 4})
    assert (run.state, run.error, bench.value(run)) == ("finished", None, 40.0)
    assert bench.states(run) == {"source1": ("finished", False), "tenfold1": ("finished", False)}
    assert run.created <= run.started <= run.ended
    assert [(output.name, output.format) for output in run.outputs] == [("result", "json")]
    assert all(step.key and step.ingredients and step.attempts == 1 for step in run.steps)


def test_a_second_run_computes_nothing(bench):
    first = bench.run(chain, {"n": 4})
    second = bench.run(chain, {"n": 4})
    assert CALLS == ["source 4", "tenfold"]
    assert all(cached for _, cached in bench.states(second).values())
    assert [step.key for step in first.steps] == [step.key for step in second.steps]
    assert bench.value(second) == 40.0


def test_only_changed_steps_are_computed(bench):
    @graph
    def joined(a: int, b: int) -> float:
        return total([tenfold(source(a)), tenfold(source(b))])

    bench.run(joined, {"a": 1, "b": 2})
    CALLS.clear()
    run = bench.run(joined, {"a": 1, "b": 3})
    assert sorted(CALLS) == ["source 3", "tenfold", "total"]
    assert {node for node, (_, cached) in bench.states(run).items() if cached} == {"source1", "tenfold1"}
    assert bench.value(run) == 40.0


def test_early_cut_off_when_a_recomputed_input_is_the_same(bench):
    @process
    def parity(n: int) -> int:
        CALLS.append("parity")
        return n % 2

    @graph
    def by_parity(n: int) -> float:
        return tenfold(parity(n))

    bench.run(by_parity, {"n": 3})
    CALLS.clear()
    # 5 gives the same parity, so what comes after it has the same inputs and is not computed again.
    assert bench.value(bench.run(by_parity, {"n": 5})) == 10.0
    assert CALLS == ["parity"]


def test_one_and_one_point_zero_are_one_key(bench):
    @graph
    def scaled(x: float) -> float:
        return tenfold(x)

    bench.run(scaled, {"x": 1})
    bench.run(scaled, {"x": 1.0})
    assert CALLS == ["tenfold"]
    bench.run(scaled, {"x": 1.5})
    assert CALLS == ["tenfold", "tenfold"]


def test_independent_steps_run_side_by_side(bench):
    # Each step waits until all three are inside: only parallel execution can pass the barrier.
    barrier = threading.Barrier(3)

    @process
    def meet(n: int) -> int:
        return n + 0 * barrier.wait(timeout=30)

    @graph
    def meeting() -> float:
        return total([meet(1), meet(2), meet(3)])

    assert bench.value(bench.run(meeting)) == 6.0


def test_light_steps_stay_lazy_and_unstored(bench):
    @process
    def rain() -> Field["mm d-1"]:
        CALLS.append("rain")
        return xr.DataArray([1.0, 2.0], dims="time", attrs={"units": "mm d-1"})

    @process
    def mean(x: Field["mm d-1"]) -> float:
        CALLS.append("mean")
        return float(x.mean())

    @graph
    def halved() -> float:
        return mean(rain() / 2)

    run = bench.run(halved)
    assert bench.value(run) == 0.75
    light = next(step for step in run.steps if step.process == "divide")
    assert light.state == "finished"
    with bench.store.read() as connection:
        stored = set(connection.execute(schema.results.select()).scalars())
    assert light.key not in stored
    assert stored == {step.key for step in run.steps if step is not light}


def test_what_a_cached_step_needed_is_not_loaded(new_bench, store_url):
    bench = new_bench(store_url, inline_limit=0)
    run = bench.run(chain, {"n": 4})
    upstream = next(step for step in run.steps if step.node == "source1")
    # With the upstream file gone, the second run can only succeed by not touching it.
    bench.files.path(bench.results.get(upstream.key).digest).unlink()
    CALLS.clear()
    assert bench.value(bench.run(chain, {"n": 4})) == 40.0
    assert CALLS == []


def test_steps_that_no_output_needs_do_not_run(bench):
    @graph
    def wasteful() -> float:
        tenfold(source(7))
        return source(1)

    run = bench.run(wasteful)
    assert CALLS == ["source 1"]
    assert list(bench.states(run)) == ["source1"] or list(bench.states(run)) == ["source2"]


def test_failure_names_cause_step_and_remedy(bench):
    @process
    def broken(x: float) -> float:
        raise ValueError("the gauge is out of order")

    @graph
    def failing() -> float:
        return tenfold(broken(source(1)))

    run = bench.run(failing)
    assert run.state == "failed"
    assert run.error["code"] == "run.step-failed"
    assert "the gauge is out of order" in run.error["message"]
    assert run.error["context"] == {"step": "broken1", "process": "broken", "cause": "ValueError", "site": "local"}
    assert "gemel show" in run.error["hint"]
    assert bench.states(run)["broken1"] == ("failed", False)
    assert "tenfold1" not in bench.states(run)
    assert bench.states(run)["source1"] == ("finished", False)
    assert any("Traceback" in line["message"] for line in bench.journal.logs(run.id))


@pytest.mark.parametrize("fault", [SystemExit(3), RecursionError("deep"), MemoryError(), KeyError("k")])
def test_whatever_a_step_raises_ends_the_run_and_not_the_engine(sqlite_bench, fault):
    @process
    def faulty(x: float) -> float:
        raise fault

    @graph
    def failing() -> float:
        return total([faulty(1.0), source(2)])

    run = sqlite_bench.run(failing)
    assert run.state == "failed"
    assert type(fault).__name__ in run.error["message"]


def test_a_forgotten_return_is_told_at_its_step(sqlite_bench):
    @process
    def forgetful(x: float) -> float:
        x * 2

    @graph
    def failing() -> float:
        return tenfold(forgetful(1.0))

    run = sqlite_bench.run(failing)
    assert run.error["context"]["step"] == "forgetful1"
    assert "null" in run.error["message"] and "return" in run.error["hint"]


def test_a_failing_light_step_is_the_one_that_failed(sqlite_bench):
    @process(durable=False)
    def light(x: float) -> float:
        raise ZeroDivisionError("nothing to divide by")

    @graph
    def failing() -> float:
        return tenfold(light(source(1)))

    run = sqlite_bench.run(failing)
    assert run.error["context"]["step"] == "light1"
    assert sqlite_bench.states(run)["light1"] == ("failed", False)


def test_values_reach_the_next_step_as_a_later_run_would_load_them(sqlite_bench):
    @process
    def pairs(x: float) -> dict:
        return {1: (x, x)}

    @process
    def shape_of(pairs: dict) -> list:
        return [[type(name).__name__, type(item).__name__] for name, item in pairs.items()]

    @graph
    def shapes() -> list:
        return shape_of(pairs(1.0))

    assert sqlite_bench.value(sqlite_bench.run(shapes)) == [["str", "list"]]


def test_retries_until_it_works(bench):
    @process(retry=Retry(attempts=3, delay=0.01))
    def flaky(x: float) -> float:
        CALLS.append("flaky")
        if len(CALLS) < 3:
            raise ConnectionResetError("the line broke")
        return x

    @graph
    def stubborn() -> float:
        return flaky(5.0)

    run = bench.run(stubborn)
    assert (run.state, bench.value(run)) == ("finished", 5.0)
    assert run.steps[0].attempts == 3
    warnings = [line["message"] for line in bench.journal.logs(run.id) if line["level"] == "warning"]
    assert len(warnings) == 2 and "the line broke" in warnings[0]


def test_retries_end_and_other_errors_are_not_retried(sqlite_bench):
    @process(retry=Retry(attempts=2, delay=0.01))
    def hopeless(x: float) -> float:
        CALLS.append("hopeless")
        raise OSError("no")

    @process(retry=Retry(attempts=5, delay=0.01))
    def wrong(x: float) -> float:
        CALLS.append("wrong")
        raise ValueError("never")

    @graph
    def first() -> float:
        return hopeless(1.0)

    @graph
    def second() -> float:
        return wrong(1.0)

    run = sqlite_bench.run(first)
    assert (run.state, run.steps[0].attempts) == ("failed", 2)
    assert sqlite_bench.run(second).steps[0].attempts == 1
    assert CALLS == ["hopeless", "hopeless", "wrong"]


def test_a_request_to_cancel_is_in_the_journal(bench):
    run_id = bench.create(chain, {"n": 1})
    assert bench.journal.cancel_requested([run_id]) == []
    bench.journal.request_cancel(run_id)
    assert bench.journal.cancel_requested([run_id]) == [run_id]


def test_one_run_per_cause(bench):
    from gemel.core.graph import NewRun

    new = NewRun("twin", chain, {"n": 1}, "engine-1", "s", cause="event 7")
    first, created = bench.journal.create(new)
    second, again = bench.journal.create(new)
    assert (created, again, first) == (True, False, second)


def test_only_one_engine_adopts_a_run(bench):
    run_id = bench.create(chain, {"n": 1}, engine="dead")
    assert bench.journal.adopt(run_id, "engine-2", "dead")
    assert not bench.journal.adopt(run_id, "engine-3", "dead")
    bench.execute(run_id, chain, {"n": 1})
    assert not bench.journal.adopt(run_id, "engine-3", "engine-2"), "a finished run is nobody's to adopt"


def test_a_lost_database_is_a_clear_error_and_the_run_goes_on_later(postgres_server, postgres_url, new_bench):
    import pg8000.dbapi

    bench = new_bench(postgres_url)

    @process
    def cut_off(x: float) -> float:
        admin = pg8000.dbapi.connect("gemel", "127.0.0.1", "postgres", postgres_server.port, postgres_server.password)
        admin.autocommit = True
        name = postgres_url.rpartition("/")[2]
        CALLS.append("cut_off")
        if CALLS.count("cut_off") == 1:
            admin.cursor().execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        admin.close()
        return x

    @graph
    def unlucky() -> float:
        return tenfold(cut_off(source(1)))

    run_id = bench.create(unlucky)
    try:
        bench.execute(run_id, unlucky)
    except StoreUnavailable:
        pass
    else:
        assert bench.journal.get(run_id).error["code"] == "store.unavailable"
    run = bench.run(unlucky)
    assert run.state == "finished" and bench.value(run) == 10.0
    assert CALLS.count("source 1") == 1


def test_step_failures_keep_their_place_in_the_error_tree():
    assert issubclass(StepFailed, RuntimeError)
