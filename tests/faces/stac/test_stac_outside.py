"""Searching several STAC APIs at once: the living answer, the others are named with what is wrong."""

from __future__ import annotations

import socket

import pytest
from stac_stage import SCENES

from gemel.base.errors import InvalidInput
from gemel.infra.lake.catalogue import search_many


def test_dead_endpoints_are_reported_and_the_others_answer(served):
    living, shown = f"{served.url}/stac", {"Authorization": f"Bearer {served.token}"}
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes the connection and never says a word
        closed.bind(("127.0.0.1", 0))
        dead = [f"http://127.0.0.1:{place.getsockname()[1]}/stac" for place in (silent, closed)]
        endpoints = [dead[0], living, dead[1], f"{served.url}/nothing", f"{living}/", "no address"]
        asked = {"collections": [SCENES], "bbox": [0, 0, 1.2, 0.2]}
        answers = search_many(endpoints, asked, headers={living: shown}, timeout=8.0)
    assert [answer.endpoint for answer in answers] == endpoints
    assert [item["id"] for item in answers[1].items] == ["scene-001", "scene-000"] and not answers[1].problem
    for answer in (answers[0], *answers[2:]):
        assert answer.items == [] and answer.endpoint in answer.problem
    # The token is sent to the endpoint that it belongs to, and to no other address.
    assert "401" in answers[4].problem


def test_a_refused_search_is_reported(served):
    (answer,) = search_many([f"{served.url}/stac"], {"limit": 0}, headers={f"{served.url}/stac": {"Authorization": f"Bearer {served.token}"}})  # fmt: skip
    assert "answered 400" in answer.problem


def test_there_must_be_an_endpoint():
    with pytest.raises(InvalidInput):
        search_many([], {})
