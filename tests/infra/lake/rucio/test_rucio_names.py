"""Names of gemel's in Rucio's letters, and back."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput
from gemel.infra.lake.datasets import Name
from gemel.infra.lake.rucio._names import here, path_here, there

# `NAME` of rucio.common.schema.generic in Rucio 41.5.1.
_THEIRS = re.compile(r"[/A-Za-z0-9][/A-Za-z0-9.\-_]*")
_tricky = st.text(alphabet="_0A2F5%/. -é", max_size=12)


def _ours(text: str) -> str | None:
    try:
        return Name.parse(f"s:{text}").name
    except InvalidInput:
        return None


@given(st.one_of(st.text(max_size=40), _tricky))
def test_every_name_of_ours_has_one_there_and_comes_back(text: str):
    name = _ours(text)
    assume(name)
    try:
        found = there(name)
    except InvalidInput as error:
        assert "too long" in error.message or "%2F" in name
        return
    assert _THEIRS.fullmatch(found)
    assert here(found) == name


@given(st.from_regex(_THEIRS, fullmatch=True))
def test_a_name_of_theirs_comes_back_or_is_refused(name: str):
    try:
        found = here(name)
    except InvalidInput:
        assert "__" in name
        return
    assert there(found) == name
    assert there(path_here(name)) == name


def test_names_that_fit_both_are_the_same_on_both_sides():
    for name in ("rain.nc", "run_2020-01.nc", "0.5deg.nc", "A"):
        assert there(name) == here(name) == name


@pytest.mark.parametrize("name", ["", "µ" * 63])
def test_names_that_rucio_cannot_take_are_refused(name: str):
    with pytest.raises(InvalidInput):
        there(name)
