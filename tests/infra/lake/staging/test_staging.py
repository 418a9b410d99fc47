"""Inputs before the first line, outputs after the last: verified, skipped, refused, and told with provenance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemel.base.config import load_settings
from gemel.base.errors import Conflict, InvalidInput, NotFound
from gemel.base.ids import digest_json
from gemel.core.engine import Engine, open_engine
from gemel.infra.lake.datasets import Facts
from gemel.infra.lake.staging import HomeLake, In, Job, Out, run_staged, stage_in, stage_out


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with open_engine(load_settings(home=tmp_path / "home", environ={}, folder=tmp_path)) as found:
        yield found


@pytest.fixture
def lake(engine: Engine, tmp_path: Path) -> HomeLake:
    for name, content in (("a:rain.nc", b"rain"), ("a:flow µ.nc", b"flow")):
        (tmp_path / "source").write_bytes(content)
        engine.datasets.put(tmp_path / "source", name)
    engine.datasets.group("a:both", ["a:rain.nc", "a:flow µ.nc"])
    return HomeLake(engine.datasets)


def test_inputs_come_once_and_groups_into_folders(lake: HomeLake, tmp_path: Path) -> None:
    wanted = [In("a:rain.nc", tmp_path / "in" / "deep" / "rain 1.nc"), In("a:both", tmp_path / "both")]
    first = stage_in(lake, wanted)
    assert [item.done for item in first] == ["fetched"] * 3
    assert (tmp_path / "both" / "flow µ.nc").read_bytes() == b"flow"
    assert first[0].digests["sha256"] == hashlib.sha256(b"rain").hexdigest()
    assert [item.done for item in stage_in(lake, wanted)] == ["there"] * 3


def test_another_file_at_a_path_is_not_lost_unless_it_is_said(lake: HomeLake, tmp_path: Path) -> None:
    path = tmp_path / "rain.nc"
    for content in (b"mine", b"longer than it"):
        path.write_bytes(content)
        with pytest.raises(Conflict, match="Something else"):
            stage_in(lake, [In("a:rain.nc", path)])
        assert path.read_bytes() == content
    assert [item.done for item in stage_in(lake, [In("a:rain.nc", path)], replace=True)] == ["fetched"]
    assert path.read_bytes() == b"rain"
    with pytest.raises(Conflict, match="Two inputs"):
        stage_in(lake, [In("a:rain.nc", path), In("a:flow µ.nc", path)])


def test_a_damaged_replica_leaves_nothing(engine: Engine, lake: HomeLake, tmp_path: Path) -> None:
    (replica,) = engine.datasets.get("a:rain.nc").replicas
    (tmp_path / "home" / "data" / replica.path).write_bytes(b"ruin")
    with pytest.raises(OSError, match="digest"):
        stage_in(lake, [In("a:rain.nc", tmp_path / "rain.nc")])
    assert not (tmp_path / "rain.nc").exists()


def test_outputs_are_registered_once_with_their_provenance(engine: Engine, lake: HomeLake, tmp_path: Path) -> None:
    path = tmp_path / "out.nc"
    path.write_bytes(b"result")
    job = Job.beginning([{"name": "a:rain.nc"}], ["model", "-v"]).ending(0)
    facts = Facts({"variable": "flow"}, "CC-BY-4.0")
    assert [item.done for item in stage_out(lake, [Out(path, "b:out")], facts=facts, job=job, into="b:all")] == [
        "registered"
    ]
    record = engine.datasets.get("b:out")
    assert (record.state, record.licence, record.metadata["variable"]) == ("verified", "CC-BY-4.0", "flow")
    told = record.metadata["provenance"]
    assert (told["inputs"], told["command"], told["exit_code"]) == ([{"name": "a:rain.nc"}], ["model", "-v"], 0)
    assert [str(item) for item in engine.datasets.get("b:all").members] == ["b:out"]
    assert [item.done for item in stage_out(lake, [Out(path, "b:out")], into="b:all")] == ["there"]


def test_other_content_is_a_conflict_and_nothing_is_registered(engine: Engine, lake: HomeLake, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode())
    with pytest.raises(Conflict, match="another content"):
        stage_out(lake, [Out(tmp_path / "one", "b:one"), Out(tmp_path / "two", "a:rain.nc")])
    with pytest.raises(NotFound, match="left no file"):
        stage_out(lake, [Out(tmp_path / "one", "b:one"), Out(tmp_path / "three", "b:three")])
    with pytest.raises(Conflict):
        stage_out(lake, [Out(tmp_path / "one", "a:both")])
    assert engine.datasets.find(["b:*"]) == []


def test_of_a_command_that_fails_nothing_is_registered_and_its_code_is_kept() -> None:
    jobs: list[Job] = []

    def register(job: Job) -> list:
        jobs.append(job)
        return []

    assert run_staged(list, ["sh", "-c", "exit 7"], register)[0] == 7
    assert jobs == []
    assert run_staged(list, ["sh", "-c", "exit 7"], register, always=True)[0] == 7
    assert run_staged(list, ["sh", "-c", "kill -9 $$"], register)[0] == 128 + 9
    assert [job.exit_code for job in jobs] == [7]
    with pytest.raises(NotFound, match="no command"):
        run_staged(list, ["no-such-command-here"], register)


def test_a_job_is_kept_between_its_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    job = Job.beginning([{"name": "a:b"}], ["model"])
    job.kept(tmp_path / "record")
    assert Job.read(tmp_path / "record") == job
    assert job.document()["batch"]["job"] == "17"
    (tmp_path / "record").write_text("[]")
    with pytest.raises(InvalidInput):
        Job.read(tmp_path / "record")


@pytest.mark.parametrize("text", ["a:b", "a:b=", "=x", "no name=x", "../x=a", "a:b/c=x"])
def test_pairs_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        In.parse(text)


def test_very_many_inputs_are_told_by_the_first_and_a_digest_of_all() -> None:
    inputs = [{"name": f"a:{number}", "size": number, "sha256": f"{number:064x}"} for number in range(5000)]
    told = Job.beginning(inputs).ending(0).document()
    assert (told["inputs"], told["inputs_count"]) == (inputs[:100], 5000)
    assert told["inputs_sha256"] == digest_json(inputs)
    # What an engine takes over its address is less than 30000 characters.
    assert len(json.dumps(told)) < 20_000
