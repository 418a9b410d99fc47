"""Signed addresses open what they were made for and what lies below it, for a while, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemel.infra.access import SignedLinks


def query(text: str) -> dict[str, str]:
    return dict(part.split("=") for part in text.split("&"))


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def links(clock):
    return SignedLinks("token", now=lambda: clock[0])


def test_it_opens_the_path_and_what_is_below_until_it_is_over(links, clock):
    shown = query(links.query("/a/b", 60))
    for path in ("/a/b", "/a/b/c", "/a/b/c/d"):
        assert links.standing(path, shown) == "valid"
    for path in ("/", "/a", "/a/bc", "/a/c", "/x/a/b"):
        assert links.standing(path, shown) == "wrong"
    clock[0] += 60
    assert links.standing("/a/b", shown) == "expired"
    assert links.standing("/a/c", shown) == "wrong"


def test_it_cannot_be_prolonged_or_moved_to_another_engine(links):
    shown = query(links.query("/a/b", 60))
    assert links.standing("/a/b", shown | {"until": "9999999999"}) == "wrong"
    assert SignedLinks("other", now=lambda: 1000.0).standing("/a/b", shown) == "wrong"


def test_a_request_without_a_key_claims_nothing(links):
    assert links.standing("/a/b", {}) == "none" and links.standing("/a/b", {"until": "2000"}) == "none"


@given(until=st.text(max_size=20), key=st.text(min_size=1, max_size=70))
def test_no_text_is_a_key(until, key):
    assert SignedLinks("token").standing("/a/b", {"until": until, "key": key}) == "wrong"
