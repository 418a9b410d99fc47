"""`gemel data` as people type it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from gemel.cli._data import data
from gemel.cli._root import exit_code, root
from stage import gemel


def run(*arguments: str) -> tuple[int, str]:
    """Return exit code and standard output of `gemel data ARGUMENTS`, within this process."""
    ended = CliRunner().invoke(root, ["data", *arguments])
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        return exit_code(ended.exception), str(ended.exception)  # type: ignore[arg-type]
    return ended.exit_code, ended.stdout


def told(*arguments: str) -> dict:
    code, text = run(*arguments, "--json")
    assert code == 0, text
    return json.loads(text)


@pytest.fixture
def rain(tmp_path: Path) -> Path:
    path = tmp_path / "rain.csv"
    path.write_text("day,rain\n1,2.5\n2,0.0\n")
    return path


def test_the_way_of_a_file_from_put_to_verify(home, rain, tmp_path):
    put = told(
        "put", str(rain), "fulda:rain.csv", "--meta", "variable=rain", "--licence", "CC0-1.0", "--into", "fulda:all"
    )
    assert put["digests"]["sha256"]["value"] == hashlib.sha256(rain.read_bytes()).hexdigest()
    assert [item["name"] for item in told("find", "variable=rain")["datasets"]] == ["fulda:rain.csv"]
    assert told("open", "fulda:rain.csv") == {"name": "fulda:rain.csv", "type": "DataFrame", "columns": ["day", "rain"]}
    told("storages", "add", "archive", "local", f"folder={tmp_path / 'archive'}")
    assert [item["name"] for item in told("storages")["storages"]] == ["home", "archive"]
    moved = told("move", "fulda:all", "archive")["datasets"]
    assert [item["storage"] for item in moved[0]["replicas"]] == ["archive"]
    told("get", "fulda:rain.csv", str(tmp_path / "back.csv"))
    assert (tmp_path / "back.csv").read_bytes() == rain.read_bytes()
    assert told("verify")["passed"]
    told("remove", "fulda:rain.csv")
    assert not [path for path in (tmp_path / "archive").rglob("*") if path.is_file()]
    told("storages", "remove", "archive")


def test_a_damaged_replica_is_exit_code_3(home, rain):
    path = told("put", str(rain), "fulda:rain.csv")["replicas"][0]["path"]
    (home / "data" / path).write_text("day,rain\n1,2.5\n2,0.1\n")
    code, text = run("verify", "--json")
    assert code == 3
    assert json.loads(text)["replicas"][0]["outcome"] == "damaged"


def test_what_is_wrong_has_its_exit_code(home, rain, tmp_path):
    told("put", str(rain), "fulda:rain.csv")
    for arguments, code in [
        (("get", "fulda:snow.csv", "x"), 4),
        (("put", str(tmp_path / "none"), "a:b"), 4),
        (("put", str(rain), "a:b", "--storage", "nowhere"), 4),
        (("put", str(rain), "fulda:rain.csv"), 1),
        (("put", str(rain), "../x:b"), 1),
        (("put", str(rain), "a:b", "--digest", "sha256:" + "0" * 64), 1),
        (("storages", "add", "x", "local", "fodler=/tmp"), 1),
        (("storages", "add", "x", "nokind"), 4),
        (("storages", "add", "x", "webdav", "url=http://127.0.0.1:1", "token=abc"), 1),
        (("put", str(rain)), 2),
    ]:
        assert run(*arguments)[0] == code, arguments
    assert len(told("find")["datasets"]) == 1


def test_errors_are_one_json_object_and_help_has_an_example(home, tmp_path):
    ended: subprocess.CompletedProcess[str] = gemel("data", "get", "a:b", "x", "--json", home=home, cwd=tmp_path)
    assert ended.returncode == 4 and json.loads(ended.stdout)["error"]["code"] == "not-found"
    for name in data.commands:
        text = CliRunner().invoke(root, ["data", name, "--help"]).stdout
        assert "Example:  gemel data" in text and "Exit codes:" in text, name
