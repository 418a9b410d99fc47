"""The engine's token and the one point of authorisation."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import Denied, StoreUnavailable, Unauthenticated
from gemel.infra.access import Actor, Authoriser, read_token, token_path


def test_the_token_is_random_stable_and_for_its_owner_alone(tmp_path):
    token = read_token(tmp_path / "a")
    assert read_token(tmp_path / "a") == token and len(token) >= 43
    assert read_token(tmp_path / "b") != token
    assert stat.S_IMODE(token_path(tmp_path / "a").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["token"]


def test_engines_that_start_together_agree_on_one_token(tmp_path):
    for number in range(20):
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda _, home=tmp_path / str(number): read_token(home), range(8)))
        assert len(found) == 1 and all(found)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_token_that_others_can_read_is_refused_with_the_remedy(tmp_path, mode):
    read_token(tmp_path)
    token_path(tmp_path).chmod(mode)
    with pytest.raises(StoreUnavailable) as refused:
        read_token(tmp_path)
    assert "chmod 600" in refused.value.hint


def test_an_empty_token_opens_nothing(tmp_path):
    read_token(tmp_path)
    token_path(tmp_path).write_text("\n")
    with pytest.raises(StoreUnavailable, match="empty"):
        read_token(tmp_path)


def test_a_home_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="token"):
        read_token(tmp_path / "file" / "home")


@given(st.text())
def test_only_the_token_makes_an_owner(shown):
    authoriser = Authoriser("the-token")
    assert authoriser.actor(shown).is_owner == (shown == "the-token")
    assert not authoriser.actor(None).is_owner


def test_nothing_is_allowed_that_was_not_said_to_be():
    authoriser = Authoriser("t")
    anonymous, owner = authoriser.actor(None), authoriser.actor("t")
    for action, resource in (
        ("read", "api"),
        ("write", "api"),
        ("read", "page"),
        ("write", "health"),
        ("write", "static"),
    ):
        assert authoriser.decide(owner, action, resource).allowed
        assert not authoriser.decide(anonymous, action, resource).allowed
        with pytest.raises(Unauthenticated):
            authoriser.require(anonymous, action, resource)
        with pytest.raises(Denied) as denied:
            authoriser.require(Actor("visitor"), action, resource)
        assert "visitor" in denied.value.message and not isinstance(denied.value, Unauthenticated)
    for resource in ("health", "static"):
        assert authoriser.decide(anonymous, "read", resource).reason
