"""Validation says everything at once and runs nothing; a result that is waited for is streamed; processes are stored."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from openeo_stage import SUM, is_error


def graph(**nodes):
    return {"process_graph": nodes}


def node(process_id, result=False, /, **arguments):
    return {"process_id": process_id, "arguments": arguments, "result": result}


def codes(api, process):
    return [error["code"] for error in api.post("/validation", json=process).json()["errors"]]


def test_a_sound_process_has_no_findings_and_may_have_open_parameters(api):
    assert codes(api, SUM) == []
    process = graph(a=node("add", True, x={"from_parameter": "p"}, y=1))
    assert codes(api, process | {"parameters": [{"name": "p", "description": "", "schema": {"type": "number"}}]}) == []


@pytest.mark.parametrize(
    ("process", "code"),
    [
        ({}, "ProcessGraphMissing"),
        ({"process_graph": {}}, "ProcessGraphMissing"),
        ({"process_graph": {"a": 1}}, "ProcessGraphInvalid"),
        (graph(a=node("ad", True, x=1, y=2)), "ProcessUnsupported"),
        (graph(a=node("add", True, x=1)), "ProcessParameterRequired"),
        (graph(a=node("add", True, x=1, y=2, z=3)), "ProcessParameterUnsupported"),
        (graph(a=node("add", True, x="one", y=2)), "ProcessParameterInvalid"),
        (graph(a=node("add", True, x={"from_node": "b"}, y=2)), "ProcessGraphInvalid"),
        (graph(a=node("add", False, x=1, y=2)), "ProcessGraphInvalid"),
        (
            graph(a=node("add", True, x={"from_node": "b"}, y=1), b=node("add", x={"from_node": "a"}, y=1)),
            "ProcessGraphInvalid",
        ),
        (graph(a=node("add", True, x=1, y=2) | {"namespace": "elsewhere"}), "ProcessUnsupported"),
        (graph(a=node("add", True, x=1, y=2) | {"namespace": "user"}), "ProcessUnsupported"),
    ],
)
def test_what_is_wrong_is_told_in_openeos_words_and_names_the_node(api, served, process, code):
    runs = len(served.service.runs())
    errors = api.post("/validation", json=process).json()["errors"]
    assert code in [error["code"] for error in errors], errors
    assert all(set(error) == {"id", "code", "message", "links"} for error in errors)
    if code.startswith("ProcessParameter"):
        assert errors[0]["message"].startswith("[a.")
    assert len(served.service.runs()) == runs
    assert api.post("/result", json={"process": process}).status_code == 400
    assert len(served.service.runs()) == runs


def test_every_finding_comes_at_once(api):
    process = graph(a=node("nothing", x=1), b=node("add", x=1), c=node("add", True, x="one", y={"from_node": "a"}))
    assert set(codes(api, process)) >= {"ProcessUnsupported", "ProcessParameterRequired", "ProcessParameterInvalid"}


def test_a_bare_value_comes_as_json(api):
    answer = api.post("/result", json={"process": SUM})
    assert answer.status_code == 200 and answer.json() == 3
    assert answer.headers["content-type"] == "application/json" and answer.headers["openeo-costs"] == "0"
    log = answer.headers["link"].split(">")[0].removeprefix("<")
    assert api.get(log).status_code == 200


def test_several_files_come_in_one_archive(api):
    process = graph(a=node("add", True, x=1, y=2), b=node("add", x=3, y=4))
    answer = api.post("/result", json={"process": process | {"outputs": {"one": "a", "two": "b"}}})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {name: json.loads(archive.read(name)) for name in archive.namelist()} == {"one.json": 3, "two.json": 7}


def test_what_a_process_refuses_has_the_code_its_specification_names(api):
    found = is_error(
        api.post("/result", json={"process": graph(a=node("divide", True, x=1, y=0))}), 400, "DivisionByZero"
    )
    assert "'a'" in found["message"]


def test_a_collection_that_is_not_there_is_named(api):
    extent = {"west": 0, "south": 0, "east": 1, "north": 1}
    load = node("load_collection", True, id="NOTHING", spatial_extent=extent, temporal_extent=None)
    assert api.post("/result", json={"process": graph(a=load)}).json()["code"] == "CollectionNotFound"


TWICE = graph(m=node("multiply", True, x={"from_parameter": "v"}, y={"from_parameter": "k"})) | {
    "id": "ignored",
    "description": "A number, several times.",
    "parameters": [
        {"name": "v", "description": "The number.", "schema": {"type": "number"}},
        {"name": "k", "description": "How often.", "schema": {"type": "number"}, "optional": True, "default": 2},
    ],
}


@pytest.fixture
def twice(api):
    assert api.put("/process_graphs/twice", json=TWICE).status_code == 200
    yield "twice"
    api.delete("/process_graphs/twice")


def test_a_stored_process_is_kept_as_it_was_given(api, twice):
    stored = api.get("/process_graphs/twice").json()
    assert stored == TWICE | {"id": "twice"}
    (listed,) = api.get("/process_graphs").json()["processes"]
    assert listed["id"] == "twice" and "process_graph" not in listed
    assert api.delete("/process_graphs/twice").status_code == 204
    is_error(api.get("/process_graphs/twice"), 404, "ProcessGraphNotFound")
    is_error(api.delete("/process_graphs/twice"), 404, "ProcessGraphNotFound")


@pytest.mark.parametrize("namespace", [None, "user"])
def test_a_stored_process_is_used_like_any_other(api, twice, namespace):
    first, second = node("twice", v=4), node("twice", True, v={"from_node": "a"}, k=5)
    process = graph(a=first | {"namespace": namespace}, b=second | {"namespace": namespace})
    assert api.post("/result", json={"process": process}).json() == 40


def test_a_stored_process_may_be_a_child_of_another(api, twice):
    child = graph(t=node("twice", True, v={"from_parameter": "x"}))
    process = graph(a=node("array_apply", True, data=[1, 2, 3], process=child))
    assert api.post("/result", json={"process": process}).json() == [2, 4, 6]


def test_stored_processes_may_use_each_other_but_not_themselves(api, twice):
    api.put(
        "/process_graphs/fourfold",
        json=graph(t=node("twice", True, v={"from_parameter": "v"}, k=4)) | {"parameters": TWICE["parameters"][:1]},
    )
    assert api.post("/result", json={"process": graph(a=node("fourfold", True, v=3))}).json() == 12
    api.put("/process_graphs/circle", json=graph(a=node("circle", True)))
    assert codes(api, graph(a=node("circle", True)))[0] == "ProcessGraphInvalid"
    for name in ("fourfold", "circle"):
        api.delete(f"/process_graphs/{name}")


def test_what_is_wrong_with_the_use_of_a_stored_process_is_told(api, twice):
    assert codes(api, graph(a=node("twice", True)))[0] == "ProcessParameterRequired"
    assert codes(api, graph(a=node("twice", True, v=1, w=2)))[0] == "ProcessParameterUnsupported"
    assert "ProcessParameterInvalid" in codes(api, graph(a=node("twice", True, v="one")))


def test_a_predefined_process_keeps_its_name_and_ids_are_words(api):
    is_error(api.put("/process_graphs/add", json=SUM), 400, "PredefinedProcessExists")
    assert api.put("/process_graphs/a%20b", json=SUM).status_code == 400
    is_error(api.put("/process_graphs/empty", json={}), 400, "ProcessGraphMissing")
    is_error(api.get("/process_graphs/empty"), 404, "ProcessGraphNotFound")
