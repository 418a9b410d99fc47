"""The template of a plugin, installed as the distribution of its own that it is, is seen and used by gemel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parents[1] / "examples" / "plugin-template"
GEMEL = Path(sys.executable).with_name("gemel")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Return a folder into which pip installed the template, apart from gemel's own environment."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(TEMPLATE)]
    told = subprocess.run(pip, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return folder


@pytest.fixture
def gemel(site: Path, home: Path, tmp_path: Path) -> Callable[..., dict]:
    """Return the command `gemel` in an environment that has the template, far from any checkout."""

    def call(*arguments: str) -> dict:
        env = os.environ | {"PYTHONPATH": str(site), "GEMEL_HOME": str(home)}
        told = subprocess.run([str(GEMEL), *arguments, "--json"], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert told.returncode == 0, told.stdout + told.stderr
        return json.loads(told.stdout)

    return call


def test_its_process_check_and_twin_are_listed_under_its_own_name(gemel):
    found = {(item["group"], item["name"]): item for item in gemel("plugins")["plugins"]}
    for key in (("processes", "evaporation"), ("checks", "steady"), ("twins", "pond")):
        assert found[key]["distribution"] == "gemel-pond" and found[key]["healthy"], found.get(key)
    assert "pond" in [twin["id"] for twin in gemel("twins")["twins"]]


def test_its_twin_runs_and_its_check_judges(gemel):
    run = gemel("run", "pond")
    assert run["state"] == "finished"
    assert [output["name"] for output in run["outputs"]] == ["level"]
    assert "evaporation" in [step["process"] for step in run["steps"]]
    again = gemel("run", "pond")
    assert all(step["cached"] for step in again["steps"])
    report = gemel("check", "pond")
    assert report["passed"]
    assert {"id": "no-jumps", "passed": True, "bar": 15.0}.items() <= report["checks"][-1].items()


def test_it_passes_the_suites_of_gemel(site, tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TEMPLATE / "tests")]
    told = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout
