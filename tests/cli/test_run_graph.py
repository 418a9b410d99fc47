"""A process graph in a file is run like a twin's: here, or on a serving engine, with the same document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stage import gemel, up

GRAPH = {
    "id": "scaled",
    "parameters": [
        {"name": "k", "description": "Factor.", "schema": {"type": "number"}, "optional": True, "default": 3}
    ],
    "process_graph": {
        "a": {"process_id": "add", "arguments": {"x": 1, "y": 2}},
        "b": {
            "process_id": "multiply",
            "arguments": {"x": {"from_node": "a"}, "y": {"from_parameter": "k"}},
            "result": True,
        },
    },
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scaled.json"
    path.write_text(json.dumps(GRAPH))
    return path


def output(home: Path) -> float:
    return json.loads((home / "out" / "result.json").read_text())


def test_a_graph_is_run_and_listed(file, home, tmp_path):
    ended = gemel("run", str(file), "--set", "k=5", "--save", str(home / "out"), "--json", home=home, cwd=tmp_path)
    document = json.loads(ended.stdout)
    assert ended.returncode == 0 and document["state"] == "finished" and document["twin"] == ""
    assert document["graph"] == "scaled" and [step["id"] for step in document["steps"]] == ["a", "b"]
    assert output(home) == 15
    (listed,) = json.loads(gemel("runs", "--json", home=home, cwd=tmp_path).stdout)["runs"]
    assert listed["id"] == document["id"]
    shown = gemel("show", document["id"], home=home, cwd=tmp_path)
    assert shown.returncode == 0 and "of scaled: finished" in shown.stdout


def test_a_graph_that_cannot_run_is_explained(file, home, tmp_path):
    def error(*arguments):
        ended = gemel("run", *arguments, "--json", home=home, cwd=tmp_path)
        return ended.returncode, json.loads(ended.stdout)["error"]

    code, told = error("nothing.json")
    assert code == 4 and told["code"] == "not-found" and "nothing.json" in told["message"]
    file.write_text("{")
    assert error(str(file))[1]["code"] == "graph.invalid"
    file.write_text("[]")
    assert error(str(file))[1]["code"] == "graph.invalid"
    file.write_text(json.dumps(GRAPH["process_graph"] | {"a": {"process_id": "multipli", "arguments": {}}}))
    code, told = error(str(file))
    assert code == 1 and "'multiply'" in told["hint"]
    file.write_text(json.dumps(GRAPH))
    assert error(str(file), "--set", "q=1")[1]["code"] == "graph.invalid"


@pytest.mark.slow
def test_a_serving_engine_does_the_same_and_its_page_shows_it(file, home, tmp_path):
    with up(home=home, cwd=tmp_path) as (serving, _):
        arguments = ("--url", serving.url, "run", str(file), "--save", str(home / "out"), "--json")
        document = json.loads(gemel(*arguments, home=home, cwd=tmp_path).stdout)
        assert document["state"] == "finished" and output(home) == 9
        with serving.client(Accept="text/html") as owner:
            page = owner.get(f"/runs/{document['id']}")
            assert page.status_code == 200 and "a graph without a twin" in page.text
            assert owner.get("/twins").status_code == 200
