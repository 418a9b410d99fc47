"""What people keep survives the engine, on both databases, and belongs to its owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemel.base.config import load_settings
from gemel.base.errors import Conflict, GraphInvalid, NotFound
from gemel.core.engine import open_engine

SUM = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


@pytest.fixture
def settings(home: Path, store_url: str):
    return load_settings(home=home, assignments=[f"store.url={store_url}"])


def test_a_job_its_result_and_a_stored_process_outlive_the_engine(settings):
    with open_engine(settings) as engine:
        work = engine.workspace
        job = work.jobs.create("ada", SUM, title="A sum", settings={"budget": 3})
        work.jobs.start("ada", job.id)
        started = work.jobs.get("ada", job.id).run
        assert started is not None and engine.runs.wait(started.id, 60).state == "finished"
        work.processes.put("ada", "three", SUM)
        job = work.jobs.get("ada", job.id)
    with open_engine(settings) as engine:
        work = engine.workspace
        again = work.jobs.get("ada", job.id)
        assert again == job and again.status == "finished" and again.settings == {"budget": 3}
        asset = work.jobs.results("ada", job.id).asset("result.json")
        assert work.results.path(asset).read_bytes() == b"3"
        assert work.processes.get("ada", "three")["process_graph"] == SUM["process_graph"]


def test_nobody_sees_what_another_keeps(settings):
    with open_engine(settings) as engine:
        work = engine.workspace
        job = work.jobs.create("ada", SUM)
        work.processes.put("ada", "three", SUM)
        service = work.services.create("ada", "XYZ", SUM, {})
        for attempt in (
            lambda: work.jobs.get("bob", job.id),
            lambda: work.jobs.start("bob", job.id),
            lambda: work.jobs.delete("bob", job.id),
            lambda: work.jobs.change("bob", job.id, {"title": "x"}),
            lambda: work.processes.get("bob", "three"),
            lambda: work.services.get("bob", service.id),
            lambda: work.services.delete("bob", service.id),
        ):
            with pytest.raises(NotFound):
                attempt()
        assert work.jobs.list("bob") == work.processes.list("bob") == work.services.list("bob") == []
        call = {"process_graph": {"a": {"process_id": "three", "arguments": {}, "result": True}}}
        assert [finding.code for finding in work.validate("bob", call)] == ["unknown-process"]
        assert work.validate("ada", call) == []


def test_a_run_that_holds_a_stored_process_needs_it_no_more(settings):
    with open_engine(settings) as engine:
        work = engine.workspace
        work.processes.put("ada", "three", SUM)
        call = {"process_graph": {"a": {"process_id": "three", "arguments": {}, "result": True}}}
        run = work.start("ada", call)
        work.processes.delete("ada", "three")
        assert work.wait(run, 60).state == "finished"
        assert "three" not in str(engine.runs.journal.get(run).document)


def test_a_leaf_that_keeps_something_is_run_although_nothing_uses_it(settings):
    with open_engine(settings) as engine:
        nodes = SUM["process_graph"] | {
            "kept": {"process_id": "save_result", "arguments": {"data": [1, 2], "format": "JSON"}},
            "idle": {"process_id": "add", "arguments": {"x": 5, "y": 5}},
        }
        run = engine.workspace.wait(engine.workspace.start("ada", {"process_graph": nodes}), 60)
        assert run.state == "finished" and {step.node for step in run.steps} == {"a", "kept"}
        assert set(engine.workspace.results.of(run).assets) == {"result.json", "kept-result.json"}


def test_what_cannot_be_read_is_not_kept(settings):
    with open_engine(settings) as engine:
        jobs = engine.workspace.jobs
        for process in ({}, {"process_graph": {}}, {"process_graph": {"a": {"arguments": {}}}}):
            with pytest.raises(GraphInvalid):
                jobs.create("ada", process)
        assert jobs.list("ada") == []
        job = jobs.create("ada", SUM)
        with pytest.raises(GraphInvalid):
            jobs.change("ada", job.id, {"process": {}})
        with pytest.raises(Conflict):
            jobs.results("ada", job.id)
        with pytest.raises(Conflict):
            engine.workspace.processes.put("ada", "add", SUM)
