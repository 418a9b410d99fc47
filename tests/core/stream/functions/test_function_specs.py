"""A function says what it runs and what it may use; what cannot be is refused with the reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput
from gemel.core.graph import Parameter
from gemel.core.stream.functions import FunctionSpec
from gemel.core.stream.functions._binding import arguments_of

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SPECS = st.builds(
    FunctionSpec,
    name=NAMES,
    process=st.just("add"),
    on=st.none() | st.just("twins/brook/gauge"),
    arguments=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    concurrency=st.integers(4, 64),
    minimum=st.integers(0, 4),
    timeout=st.floats(0.01, 1000),
    attempts=st.integers(1, 100),
    memory=st.none() | st.integers(64_000_000, 2**40),
    environment=st.dictionaries(st.from_regex(r"X[A-Z]{0,5}", fullmatch=True), st.just("value"), max_size=3),
)


@given(SPECS)
def test_a_description_survives_the_way_through_json(spec):
    assert FunctionSpec.from_document(json.loads(json.dumps(spec.document()))) == spec


@given(SPECS, st.integers(1, 200))
def test_each_wait_is_twice_the_one_before_and_none_is_longer_than_an_hour(spec, attempt):
    assert spec.delay(1) == spec.backoff
    assert spec.delay(attempt + 1) == min(2 * spec.delay(attempt), 3600.0) or spec.delay(attempt) == 3600.0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": ""}, "no name"),
        ({"name": "a/b"}, "no name"),
        ({"name": "x" * 101}, "no name"),
        ({"name": 7}, "no name"),
        ({"process": None}, "runs nothing"),
        ({"script": "true"}, "process and script"),
        ({"process": " "}, "'process'"),
        ({"process": None, "graph": "main"}, "'graph' of function 'f' belongs to a twin"),
        ({"process": None, "script": "x" * 1_000_001}, "'script'"),
        ({"process": None, "script": "true", "twin": "brook"}, "neither a twin"),
        ({"process": None, "script": "true", "arguments": {"x": 1}}, "nor arguments"),
        ({"concurrency": 0}, "'concurrency'"),
        ({"concurrency": 65}, "'concurrency'"),
        ({"concurrency": True}, "'concurrency'"),
        ({"concurrency": 1.5}, "whole number"),
        ({"minimum": 2}, "more than its concurrency of 1"),
        ({"minimum": -1}, "'minimum'"),
        ({"idle": float("nan")}, "'idle'"),
        ({"timeout": 0}, "'timeout'"),
        ({"timeout": "5"}, "'timeout'"),
        ({"attempts": 0}, "'attempts'"),
        ({"backoff": -1}, "'backoff'"),
        ({"memory": 1000}, "'memory'"),
        ({"environment": {"1X": "a"}}, "cannot set '1X'"),
        ({"environment": {"GEMEL_HOME": "a"}}, "cannot set 'GEMEL_HOME'"),
        ({"environment": {"TMP_OUTPUT_DIR": "a"}}, "cannot set 'TMP_OUTPUT_DIR'"),
        ({"environment": {"X": 1}}, "X that is no text"),
        ({"environment": ["X"]}, "no object"),
        ({"arguments": {"x": float("nan")}}, "no JSON object"),
        ({"arguments": [1]}, "no JSON object"),
        ({"notes": {1: 2}}, "no JSON object"),
        ({"on": ""}, "no stream"),
        ({"on": "x" * 291}, "no stream"),
        ({"on": "functions/f.dead"}, "its own dead letters"),
        ({"begin": "yesterday"}, "'begin'"),
        ({"queue": 0}, "'queue'"),
        ({"keep": 0}, "'keep'"),
        ({"speed": 3}, "member of a function's description 'speed'"),
    ],
)
def test_what_cannot_be_is_refused(wrong, told):
    with pytest.raises(InvalidInput) as refused:
        FunctionSpec.from_document({"name": "f", "process": "add"} | wrong)
    assert told in refused.value.message


@pytest.mark.parametrize("document", [None, [], "f", 7, {}])
def test_what_is_no_description_is_refused(document):
    with pytest.raises(InvalidInput):
        FunctionSpec.from_document(document)


def bind(data: bytes, fixed=None, *names: str, optional: tuple[str, ...] = ()):
    parameters = [Parameter(name, required=name not in optional) for name in (*names, *optional)]
    return arguments_of(data, fixed or {}, parameters)


EVENT = {"specversion": "1.0", "id": "1", "type": "t", "source": "s", "data": {"flow": 3.0, "more": 1}}


def test_members_of_an_object_are_arguments():
    assert bind(b'{"x": 1}', {"y": 2}, "x", "y", optional=("z",)) == {"x": 1, "y": 2}
    assert bind(b"", {"y": 2}, "y") == {"y": 2}


def test_an_event_gives_what_is_wanted_of_its_data_or_itself():
    event = json.dumps(EVENT).encode()
    assert bind(event, {"side": "here"}, "flow", "side") == {"flow": 3.0, "side": "here"}
    assert bind(event, {}, "event") == {"event": EVENT}
    assert bind(event, {"flow": 9.0}, "flow") == {"flow": 9.0}, "what is fixed stays"


def test_whatever_comes_is_the_input_of_who_wants_it_whole():
    assert bind(b"[1, 2]", {}, "input") == {"input": [1, 2]}
    assert bind(b"\xffplain", {}, "input") == {"input": "\ufffdplain"}
    assert bind(b'{"input": 5, "x": 1}', {}, "input", "x") == {"input": 5, "x": 1}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{", "not JSON"),
        (b"[1]", "no JSON object"),
        (b"{}", "has no 'x'"),
        (b'{"x": 1, "w": 1}', "no parameter 'w'"),
        (b'{"x": 1, "y": 1}', "'y' is fixed"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(data, told):
    with pytest.raises(InvalidInput) as refused:
        bind(data, {"y": 2}, "x", "y")
    assert told in refused.value.message
