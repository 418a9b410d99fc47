"""Running twins: reuse, failures that explain themselves, cancelling, and taking up what a dead engine left."""

from __future__ import annotations

import shutil

import pytest

from gemel.base.errors import NotFound, OutOfBounds, StepFailed
from gemel.core.engine import Service, run_document
from stage import until, write_brook


def cached(run):
    return {step.node: step.cached for step in run.steps}


def test_a_second_run_finds_every_step_and_a_change_costs_only_what_depends_on_it(engine, here):
    write_brook(here)
    twin = engine.twin("brook")
    first = engine.finish(engine.start(twin))
    assert first.state == "finished"
    assert cached(first) == {"coming1": False, "longest1": False}
    again = engine.finish(engine.start(twin))
    assert again.id != first.id
    assert cached(again) == {"coming1": True, "longest1": True}
    warmer = engine.finish(engine.start(twin, None, {"warmth": 2.0}))
    assert cached(warmer) == {"coming1": False, "longest1": True}
    assert float(engine.output(warmer, "flow")["flow"][1, 0]) == 0.5 + 2.0


def test_a_parameter_reaches_the_graph_in_the_unit_of_the_graph(sqlite_engine, here):
    write_brook(here)
    twin = sqlite_engine.twin("brook")
    for given, metres in ({}, 2000.0), ({"length": 3.0}, 3000.0), ({"length": "500 m"}, 500.0):
        run = sqlite_engine.finish(sqlite_engine.start(twin, None, given))
        assert sqlite_engine.output(run, "length") == pytest.approx(metres, rel=1e-12)


def test_the_document_of_a_run_is_the_one_that_is_promised(engine, here):
    write_brook(here)
    run = engine.finish(engine.start(engine.twin("brook"), "validate", {"rain": 1.25}))
    document = run_document(run)
    assert list(document)[:10] == (
        ["id", "twin", "graph", "state", "started", "ended", "parameters", "steps", "outputs", "checks"]
    )
    assert document["twin"] == "brook" and document["graph"] == "validate" and document["state"] == "finished"
    assert set(document["steps"][0]) == {"id", "process", "state", "cached", "seconds"}
    assert document["outputs"] == [
        {"name": "figures", "href": f"/api/v1/runs/{run.id}/outputs/figures", "format": "json", "unit": None}
    ]
    assert document["checks"] == [{"id": "sum", "passed": True, "value": 0.25, "bar": 0.5}]
    assert document["parameters"] == {"rain": 1.25}


def test_a_failed_step_leaves_a_record_with_cause_step_and_remedy(engine, here):
    write_brook(here)
    run = engine.finish(engine.start(engine.twin("brook"), "failing"))
    assert run.state == "failed" and run.ended is not None
    assert run.error["code"] == StepFailed.code
    assert "no water for rain 1.0" in run.error["message"] and run.error["hint"]
    assert run.error["context"]["step"] == "broken1" and run.error["context"]["process"] == "broken"
    assert [step.state for step in run.steps] == ["failed"]


def test_a_wish_that_makes_no_sense_is_refused_before_anything_is_recorded(sqlite_engine, here):
    write_brook(here)
    twin = sqlite_engine.twin("brook")
    with pytest.raises(NotFound, match="rian") as unknown:
        sqlite_engine.start(twin, None, {"rian": 1.0})
    assert "'rain'" in unknown.value.hint
    with pytest.raises(OutOfBounds):
        sqlite_engine.start(twin, None, {"rain": 3.5})
    with pytest.raises(NotFound) as graph:
        sqlite_engine.start(twin, "forcast")
    assert "'forecast'" in graph.value.hint
    assert sqlite_engine.runs.journal.list() == []


def test_a_whatif_comes_with_views_and_numbers(sqlite_engine, here):
    write_brook(here)
    answer = Service(sqlite_engine).whatif("brook", {"rain": "200 %", "warmth": "1 K"})
    (flow,) = [view for view in answer["views"] if view["kind"] == "plume"]
    assert answer["state"] == "finished" and answer["parameters"]["rain"] == 2.0
    assert flow["unit"] == "m3 s-1" and flow["quantiles"]["levels"] == [0.05, 0.5, 0.95]
    assert flow["quantiles"]["values"][1] == [2.0, 3.0, None]  # NaN is no number in JSON
    with pytest.raises(NotFound):
        Service(sqlite_engine).whatif("brook", {"gate": "elsewhere"})


def test_runs_work_beside_each_other(engine, here):
    write_brook(here)
    twin = engine.twin("brook")
    waiting = engine.start(twin, "held")
    assert engine.finish(engine.start(twin)).state == "finished"
    assert not engine.runs.journal.get(waiting).finished
    (here / "gate").touch()
    done = engine.finish(waiting, 60)
    assert done.state == "finished" and engine.output(done, "sum") == 10


def test_a_run_is_cancelled_by_another_engine(store_url, new_engine, here):
    write_brook(here)
    ours, other = new_engine(store_url), new_engine(store_url)
    run = ours.start(ours.twin("brook"), "held")
    until(lambda: ours.runs.journal.get(run).state == "running")
    assert other.runs.cancel(run).state in ("running", "cancelled")
    assert ours.finish(run, 60).state == "cancelled"
    assert other.finish(run, 60).state == "cancelled"
    assert other.runs.cancel(run).state == "cancelled"


def test_a_closed_engine_leaves_its_run_to_the_next_one(store_url, new_engine, here):
    write_brook(here)
    first = new_engine(store_url)
    run = first.start(first.twin("brook"), "held")
    until(lambda: first.runs.journal.get(run).state == "running")
    first.close()
    second = new_engine(store_url)
    assert second.runs.journal.get(run).state == "running"
    (here / "gate").touch()
    assert second.recover() == [run]
    assert second.recover() == []
    assert second.finish(run, 60).state == "finished"


def test_the_same_wish_takes_up_an_interrupted_run_and_another_wish_does_not(store_url, new_engine, here):
    write_brook(here)
    first = new_engine(store_url)
    run = first.start(first.twin("brook"), "held")
    until(lambda: first.runs.journal.get(run).state == "running")
    first.close()
    (here / "gate").touch()
    second = new_engine(store_url)
    twin = second.twin("brook")
    assert second.start(twin, "forecast") != run
    assert second.start(twin, "held") == run
    assert second.finish(run, 60).state == "finished"
    assert second.start(twin, "held") != run


def test_an_interrupted_run_can_be_cancelled_though_its_engine_is_dead(store_url, new_engine, here):
    write_brook(here)
    first = new_engine(store_url)
    run = first.start(first.twin("brook"), "held")
    until(lambda: first.runs.journal.get(run).state == "running")
    first.close()
    second = new_engine(store_url)
    assert second.runs.cancel(run).state == "cancelled"
    assert second.recover() == []
    assert second.start(second.twin("brook"), "held") != run


def test_a_run_whose_twin_is_gone_stays_as_it_is(store_url, new_engine, here):
    folder = write_brook(here)
    first = new_engine(store_url)
    run = first.start(first.twin("brook"), "held")
    until(lambda: first.runs.journal.get(run).state == "running")
    first.close()
    shutil.rmtree(folder)
    second = new_engine(store_url)
    assert second.recover() == []
    assert second.runs.journal.get(run).state == "running"


def test_a_slow_listener_misses_no_change(sqlite_engine, here):
    write_brook(here)
    run = sqlite_engine.start(sqlite_engine.twin("brook"), "held")
    changes = sqlite_engine.runs.watch(run, 60)
    heard = [next(changes)]  # only now, while the listener is busy, everything else happens
    (here / "gate").touch()
    assert sqlite_engine.finish(run, 60).state == "finished"
    heard += changes
    finished = sorted(change["step"] for change in heard if change["state"] == "finished")
    assert finished == ["added1", "added2", "waited1", "waited2"]


def test_two_runs_compared_name_what_differs(engine, here):
    write_brook(here)
    twin = engine.twin("brook")
    first, second, third = (engine.finish(engine.start(twin, None, {"rain": rain})).id for rain in (1.0, 1.0, 2.0))
    assert engine.compare(first, second)["same"]
    found = engine.compare(first, third)
    assert not found["same"]
    assert {(item["step"], item["aspect"]) for item in found["differences"]} == {
        ("", "parameter"),
        ("coming1", "argument"),
    }
    assert found["outputs"] == [{"name": "flow", "same_step": False}, {"name": "length", "same_step": True}]


def test_a_changed_line_of_code_is_what_differs(sqlite_engine, here):
    folder = write_brook(here)
    first = sqlite_engine.finish(sqlite_engine.start(sqlite_engine.twin("brook"))).id
    code = (folder / "twin.py").read_text()
    (folder / "twin.py").write_text(code.replace("return float(length)", "return float(length) + 0.5"))
    second = sqlite_engine.finish(sqlite_engine.start(sqlite_engine.twin("brook")))
    assert cached(second) == {"coming1": True, "longest1": False}
    found = sqlite_engine.compare(first, second.id)
    assert [(item["step"], item["aspect"]) for item in found["differences"]] == [("longest1", "code")]


def test_explain_tells_what_each_step_was_made_of(engine, here):
    write_brook(here)
    run = engine.finish(engine.start(engine.twin("brook")))
    found = engine.explain(run.id)
    steps = {step["step"]: step for step in found["steps"]}
    assert set(steps) == {"coming1", "longest1"}
    assert steps["coming1"]["process"] == "coming" and len(steps["coming1"]["code"]) == 64
    assert steps["coming1"]["arguments"]["rain"] == 1.0
    assert found["environment"]["twin_version"] == "1.2.3" and found["environment"]["gemel"]


def test_checks_make_a_report_that_says_why_it_failed(engine, here):
    write_brook(here)
    good = engine.check(engine.twin("brook"))
    assert good.passed and {check["id"] for check in good.checks} == {
        "graphs-valid",
        "card-complete",
        "described",
        "sum",
    }
    shutil.rmtree(here / "brook")
    write_brook(here, **{"default = 1.0\nminimum = 0.0\nmaximum = 3.0": "default = 2.0"})
    bad = engine.check(engine.twin("brook"))
    (failed,) = [check for check in bad.checks if not check["passed"]]
    assert not bad.passed and failed["id"] == "sum" and failed["value"] == 1.0 and failed["bar"] == 0.5
    assert engine.reports.latest("brook").id == bad.id
    assert engine.reports.latest("brook", good.content).id == good.id


def test_a_check_of_a_graph_that_fails_does_not_pass_and_says_why(sqlite_engine, here):
    write_brook(here, **{'on = "figures.lost"': 'on = "nothing"\ngraph = "failing"'})
    report = sqlite_engine.check(sqlite_engine.twin("brook"))
    (failed,) = [check for check in report.checks if not check["passed"]]
    assert "no water" in failed["evidence"]
