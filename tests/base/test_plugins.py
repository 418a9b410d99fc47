"""Plugins: found by name, loaded on first use, and never fatal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gemel.base.errors import MissingExtra, NotFound, PluginBroken
from gemel.base.plugins import PluginGroup, plugins, require


@pytest.fixture
def installed(tmp_path: Path, monkeypatch):
    """Return a writer of distributions that offer entry points."""

    def install(name: str, lines: str, modules: dict[str, str]) -> None:
        folder = tmp_path / name
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[gemel.checks]\n{lines}\n")
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(str(folder))

    return install


def test_names_are_known_without_importing_anything(installed):
    installed("other", "shy = shy_module:thing", {"shy_module": "thing = 5"})
    group = PluginGroup("checks")
    assert "shy" in group.names() and "shy_module" not in sys.modules
    assert group.get("shy") == 5


def test_a_broken_plugin_is_told_and_skipped(installed):
    installed(
        "broken",
        "bad = bad_module:thing\nlost = no_such_module:x\ngood = good_module:thing",
        {"bad_module": "raise RuntimeError('boom')", "good_module": "thing = 1"},
    )
    group = PluginGroup("checks")
    with pytest.raises(PluginBroken, match="boom"):
        group.get("bad")
    healthy = dict(group.healthy())
    assert "good" in healthy and "bad" not in healthy and "lost" not in healthy
    told = {item.name: item for item in group.status()}
    assert (told["good"].healthy, told["good"].distribution, told["good"].version) == (True, "broken", "1.0")
    assert not told["bad"].healthy and "boom" in told["bad"].problem
    assert not told["lost"].healthy


def test_a_built_in_cannot_be_replaced_quietly(installed):
    installed("usurper", "minimum = usurping:thing", {"usurping": "thing = 1"})
    group = PluginGroup("checks")
    assert group.get("minimum") != 1
    assert any("usurper" in text for text in group.conflicts)


def test_unknown_names_and_kinds_are_told():
    with pytest.raises(NotFound, match="no checks plugin 'minimun'") as caught:
        plugins("checks").get("minimun")
    assert "minimum" in caught.value.hint
    with pytest.raises(NotFound, match="plugin kind"):
        plugins("chekcs")


def test_an_absent_extra_names_the_command_that_adds_it():
    with pytest.raises(MissingExtra) as caught:
        require("no_such_module_at_all", extra="ml")
    assert caught.value.hint == "pip install 'gemel[ml]'"
    assert require("json", extra="ml").dumps({}) == "{}"
