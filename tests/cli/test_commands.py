"""The command line: one JSON object where asked, exit codes that mean something, errors with the next command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from gemel.cli._root import _COMMANDS, root
from stage import gemel, write_brook

RUN = {"id", "twin", "graph", "state", "started", "ended", "steps", "outputs", "checks"}


def _only_json(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert len(ended.stdout.strip().splitlines()) == 1, ended.stdout
    document = json.loads(ended.stdout)
    assert isinstance(document, dict)
    return document


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_brook(tmp_path, [1.0, 2.0])
    return tmp_path


@pytest.mark.slow
def test_a_run_has_the_documented_shape(place: Path, home: Path) -> None:
    ended = gemel("run", "brook", "--json", home=home, cwd=place)
    assert ended.returncode == 0, ended.stderr
    run = _only_json(ended)
    assert run.keys() >= RUN
    assert run["state"] == "finished"
    assert set(run["steps"][0]) == {"id", "process", "state", "cached", "seconds"}
    assert set(run["outputs"][0]) == {"name", "href", "format", "unit"}
    again = _only_json(gemel("run", "brook", "--json", home=home, cwd=place))
    assert all(step["cached"] for step in again["steps"] if step["process"] != "select")
    shown = _only_json(gemel("show", run["id"], "--json", home=home, cwd=place))
    assert shown["id"] == run["id"]
    compared = _only_json(gemel("compare", run["id"], again["id"], "--json", home=home, cwd=place))
    assert compared["same"] is True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "slug"),
    [
        (("run", "nope"), 4, "not-found"),
        (("run", "brook", "nope"), 4, "not-found"),
        (("run", "brook", "failing"), 1, "run.step-failed"),
        (("run", "brook", "--set", "rain=1e9"), 1, "input.out-of-bounds"),
        (("run", "brook", "--set", "rain=3 K"), 1, "unit.mismatch"),
        (("run", "brook", "--set", "rian=1"), 4, "not-found"),
        (("run", "brook", "--set", "rain"), 2, "usage"),
        (("run",), 2, "usage"),
        (("frobnicate",), 2, "usage"),
        (("publish", "brook"), 3, "check.failed"),
        (("--set", "server.prot=1", "twins"), 1, "config.invalid"),
        (("--url", "http://127.0.0.1:9", "twins"), 1, "engine.stopped"),
    ],
)
def test_errors_are_one_json_object_and_an_exit_code(
    place: Path, home: Path, arguments: tuple[str, ...], code: int, slug: str
) -> None:
    ended = gemel(*arguments, "--json", home=home, cwd=place)
    assert ended.returncode == code, ended.stdout + ended.stderr
    error = _only_json(ended)["error"]
    assert set(error) == {"code", "message", "hint", "context"}
    assert error["code"] == slug
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_people_get_message_and_hint_without_traceback(place: Path, home: Path) -> None:
    ended = gemel("run", "brok", home=home, cwd=place)
    assert ended.returncode == 4
    assert "Did you mean 'brook'?" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def _commands(command: click.Command, *words: str) -> Iterator[tuple[click.Command, tuple[str, ...]]]:
    """Yield a command and all below it, with the words that call each."""
    yield command, words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, *words, name)


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_has_help_with_an_example(name: str) -> None:
    found = root.get_command(click.Context(root), name)
    assert found is not None
    for command, words in _commands(found, name):
        shown = CliRunner().invoke(root, [*words, "--help"])
        assert shown.exit_code == 0, shown.output
        if not isinstance(command, click.Group):
            assert "Example:" in shown.output and "--json" in shown.output, words


@pytest.mark.slow
def test_new_twin_runs_checks_publishes_and_comes_back(tmp_path: Path, home: Path) -> None:
    def step(*arguments: str) -> dict[str, Any]:
        ended = gemel(*arguments, "--json", home=home, cwd=tmp_path)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return _only_json(ended)

    assert "twin.py" in step("new", "twin", "river")["files"]
    assert step("run", "river")["state"] == "finished"
    assert gemel("publish", "river", "--json", home=home, cwd=tmp_path).returncode == 3
    assert step("check", "river")["passed"] is True
    first = step("publish", "river")
    assert first["new"] is True
    assert step("publish", "river")["new"] is False
    (tmp_path / "river" / "README.md").write_text("purpose data quality limits licence, otherwise")
    step("check", "river")
    ended = gemel("publish", "river", "--json", home=home, cwd=tmp_path)
    assert ended.returncode == 1
    assert _only_json(ended)["error"]["code"] == "conflict"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert json.loads(gemel("pull", "river", "--json", home=home, cwd=elsewhere).stdout)["content"] == first["content"]
    run = _only_json(gemel("run", "river", "--json", home=home, cwd=elsewhere))
    assert all(step["cached"] for step in run["steps"])


@pytest.mark.slow
def test_editing_one_function_recomputes_what_depends_on_it_and_nothing_else(tmp_path: Path, home: Path) -> None:
    gemel("new", "twin", "river", home=home, cwd=tmp_path)
    gemel("run", "river", home=home, cwd=tmp_path)
    code = tmp_path / "river" / "twin.py"
    code.write_text(
        code.read_text().replace("level = (1 - drainage) * filled", "level = (1.0 - drainage) * filled * 1.01")
    )
    run = _only_json(gemel("run", "river", "--json", home=home, cwd=tmp_path))
    assert {step["process"]: step["cached"] for step in run["steps"]} == {
        "weather": True,
        "reservoir": False,
        "interval": False,
    }
