"""The ground: errors, configuration, ids, instants, units."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gemel.base import errors, units
from gemel.base.clock import iso, parse_duration, parse_instant
from gemel.base.config import load_settings, secret
from gemel.base.errors import ConfigInvalid, GemelError, InvalidInput, UnitMismatch
from gemel.base.ids import canonical_json, digest_bytes, digest_file, digest_json, new_id

ALL_ERRORS = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, GemelError)]


def test_every_error_has_a_code_of_its_own():
    codes = [item.code for item in ALL_ERRORS]
    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and " " not in code for code in codes)


@pytest.mark.parametrize("kind", ALL_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_says_its_message_and_travels(kind):
    error = kind("What went wrong.", hint="Do this.", name="x")
    assert str(error) == "What went wrong."
    back = pickle.loads(pickle.dumps(error))
    assert back.document() == error.document()
    assert json.loads(json.dumps(error.document()))["context"] == {"name": "x"}


def test_errors_are_what_callers_expect_of_python():
    for kind, builtin in (
        (errors.GraphInvalid, ValueError),
        (errors.NotFound, LookupError),
        (errors.Denied, PermissionError),
        (errors.StepTimeout, TimeoutError),
        (errors.StoreFull, OSError),
        (errors.MissingExtra, ImportError),
    ):
        assert issubclass(kind, builtin)


def test_settings_come_from_the_last_one_who_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    (tmp_path / "gemel.toml").write_text('[server]\nport = 1\nhost = "project"\n[store]\ninline_limit = 5\n')
    (tmp_path / "user" / "gemel").mkdir(parents=True)
    (tmp_path / "user" / "gemel" / "config.toml").write_text("[server]\nport = 2\n")
    settings = load_settings(folder=tmp_path, environ={"GEMEL_SERVER__PORT": "3", "GEMEL_HOME": "/h"})
    assert (settings.server.port, settings.server.host, settings.store.inline_limit) == (3, "project", 5)
    assert settings.origins["server.port"] == "GEMEL_SERVER__PORT"
    assert settings.origins["server.host"].endswith("gemel.toml")
    again = load_settings(folder=tmp_path, environ={"GEMEL_SERVER__PORT": "3"}, assignments=["server.port=4"])
    assert again.server.port == 4
    shown = {name: origin for name, _, origin in again.items()}
    assert shown["server.port"] == "--set" and shown["runs.workers"] == "default"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server]\nprot = 1", "Did you mean 'server.port'"),
        ("[server]\nport = 'x'", "whole number"),
        ("[server]\nport = true", "whole number"),
        ("[server", "cannot be read"),
        ("port = 1", "Unknown setting 'port'"),
        ("[twins]\nfolders = 'a'", "list of texts"),
    ],
)
def test_a_wrong_setting_is_told_with_its_file(tmp_path, text, told):
    (tmp_path / "gemel.toml").write_text(text)
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(folder=tmp_path, environ={})
    assert told in f"{caught.value.message} {caught.value.hint}"
    assert "gemel.toml" in caught.value.message


@pytest.mark.parametrize("assignment", ["server.port", "server.port=x", "serve.port=1"])
def test_a_wrong_assignment_is_told(tmp_path, assignment):
    with pytest.raises(ConfigInvalid):
        load_settings(folder=tmp_path, environ={}, assignments=[assignment])


def test_secrets_are_references(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN_FOR_TEST", "t1")
    (tmp_path / "token").write_text("t2\n")
    assert secret("env:TOKEN_FOR_TEST") == "t1"
    assert secret(f"file:{tmp_path / 'token'}") == "t2"
    for missing in ("env:NOT_SET_ANYWHERE", f"file:{tmp_path / 'none'}"):
        with pytest.raises(ConfigInvalid):
            secret(missing)


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_round_trip(instant):
    text = iso(instant)
    assert text.endswith("Z") and parse_instant(text) == instant


@given(st.integers(1, 1000), st.sampled_from([("s", 1), ("min", 60), ("h", 3600), ("days", 86400), ("weeks", 604800)]))
def test_durations_are_numbers_times_units(number, unit):
    name, seconds = unit
    assert parse_duration(f"{number} {name}") == timedelta(seconds=number * seconds)


@pytest.mark.parametrize("text", ["", "d", "5", "1 month", "-1 d", "1 d 2 h", "x d"])
def test_what_is_no_duration_is_told(text):
    with pytest.raises(InvalidInput):
        parse_duration(text)


def test_what_is_no_instant_is_told():
    with pytest.raises(InvalidInput, match="yesterday"):
        parse_instant("yesterday")
    assert parse_instant("1988-03-12") == datetime(1988, 3, 12, tzinfo=UTC)


def test_ids_sort_by_time_and_never_repeat():
    made = [new_id("run") for _ in range(2000)]
    assert len(set(made)) == len(made)
    stamps = [name[4:14] for name in made]
    assert stamps == sorted(stamps)


keyed = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=5)


@given(keyed)
def test_the_order_of_keys_does_not_change_a_digest(document):
    turned = dict(reversed(document.items()))
    assert digest_json(document) == digest_json(turned)
    assert json.loads(canonical_json(document)) == document


@given(keyed, keyed)
def test_different_documents_have_different_digests(left, right):
    assume(left != right)
    assert digest_json(left) != digest_json(right)


def test_a_file_s_digest_is_that_of_its_bytes(tmp_path):
    data = b"0123456789" * 300_000  # more than one piece of reading
    (tmp_path / "f").write_bytes(data)
    assert digest_file(tmp_path / "f") == digest_bytes(data)


@given(st.floats(-1e6, 1e6))
def test_conversion_there_and_back_is_the_identity(value):
    for source, target in (("m3 s-1", "l s-1"), ("degC", "K"), ("mm d-1", "m s-1"), ("%", "1")):
        assert units.convert(units.convert(value, source, target), target, source) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (0.0, "degC", "K", 273.15),
        (-40.0, "degC", "degF", -40.0),  # where the two scales meet
        (1.0, "mm d-1", "kg m-2 d-1", None),  # one millimetre of water is one kilogram: a different dimension
        (100.0, "%", "1", 1.0),
        (86400.0, "m3 s-1", "m3 d-1", 86400.0**2),
        (0.0, "m", "mm", 0.0),
        (float("inf"), "m", "mm", float("inf")),
    ],
)
def test_conversions_at_the_edges(value, source, target, expected):
    if expected is None:
        with pytest.raises(UnitMismatch):
            units.convert(value, source, target)
    else:
        assert units.convert(value, source, target) == pytest.approx(expected)


def test_a_difference_of_temperatures_has_no_offset():
    assert units.convert_difference(1.0, "K", "degC") == pytest.approx(1.0)
    assert units.convert_difference(1.8, "degF", "K") == pytest.approx(1.0)


@pytest.mark.parametrize("unit", ["furlongs per fancy", "m3 s-", "(("])
def test_an_unreadable_unit_is_told(unit):
    with pytest.raises(InvalidInput, match="not a unit"):
        units.check_unit(unit)


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [("1.3", "1", 1.3), ("130 %", "1", 1.3), ("-2 K", "K", -2.0), ("1e3 mm", "m", 1.0), (" 5  ", "m", 5.0)],
)
def test_quantities_are_read_in_the_unit_wanted(text, unit, expected):
    assert units.parse_quantity(text, unit) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "much", "K 3", "1,5"])
def test_what_is_no_quantity_is_told(text):
    with pytest.raises(InvalidInput):
        units.parse_quantity(text, "K")
