"""`gemel data` as people type it: in the engine's own folder, and over its address; the same words, the same exit codes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from gemel.base.config import load_settings
from gemel.cli._data import data
from gemel.cli._data_speech import Teller
from gemel.cli._root import exit_code, root
from gemel.core.engine import Service, open_engine
from stage import PATIENCE, environment, gemel, serving, until, up

Run = Callable[..., tuple[int, str]]


@pytest.fixture(params=["folder", "address"])
def run(request: pytest.FixtureRequest, home: Path) -> Iterator[Run]:
    """Yield what runs `gemel data ARGUMENTS` within this process and returns its exit code and standard output."""
    with contextlib.ExitStack() as stack:
        where: list[str] = []
        if request.param == "address":
            engine = stack.enter_context(open_engine(load_settings(home=home, assignments=["lake.pace=1 h"])))
            engine.serve()
            where = ["--url", stack.enter_context(serving(Service(engine))).url]

        def typed(*arguments: str) -> tuple[int, str]:
            ended = CliRunner().invoke(root, [*where, "data", *arguments])
            if isinstance(ended.exception, click.ClickException):
                return 2, ended.exception.format_message()
            if ended.exception is not None and not isinstance(ended.exception, SystemExit):
                return exit_code(ended.exception), str(ended.exception)  # type: ignore[arg-type]
            return ended.exit_code, ended.stdout

        yield typed


@pytest.fixture
def told(run: Run) -> Callable[..., dict]:
    """Return what runs a command that must succeed and returns its JSON object."""

    def typed(*arguments: str) -> dict:
        code, text = run(*arguments, "--json")
        assert code == 0, text
        found = json.loads(text)
        assert isinstance(found, dict)
        return found

    return typed


@pytest.fixture
def rain(tmp_path: Path) -> Path:
    path = tmp_path / "rain.csv"
    path.write_text("day,rain\n1,2.5\n2,0.0\n")
    return path


def test_the_way_of_a_file_from_put_to_verify(told, rain, tmp_path):
    put = told(
        "put", str(rain), "fulda:rain.csv", "--meta", "variable=rain", "--licence", "CC0-1.0", "--into", "fulda:all"
    )
    assert put["digests"]["sha256"]["value"] == hashlib.sha256(rain.read_bytes()).hexdigest()
    assert [item["name"] for item in told("find", "variable=rain")["datasets"]] == ["fulda:rain.csv"]
    opened = told("open", "fulda:rain.csv", "--rows", "1")
    assert opened["type"] == "DataFrame" and opened["preview"] == [{"day": 1, "rain": 2.5}]
    assert [item["name"] for item in opened["columns"]] == ["day", "rain"]
    told("storages", "add", "archive", "local", f"folder={tmp_path / 'archive'}")
    assert [item["name"] for item in told("storages")["storages"]] == ["home", "archive"]
    moved = told("move", "fulda:all", "archive")
    assert [item["storage"] for item in moved["datasets"][0]["replicas"]] == ["archive"]
    assert moved["transfers"][0]["state"] == "done" and moved["transfers"][0]["only"] is True
    told("get", "fulda:rain.csv", str(tmp_path / "back.csv"))
    assert (tmp_path / "back.csv").read_bytes() == rain.read_bytes()
    assert told("verify")["passed"]
    assert told("remove", "fulda:rain.csv") == {"removed": "fulda:rain.csv"}
    assert not [path for path in (tmp_path / "archive").rglob("*") if path.is_file()]
    assert told("storages", "remove", "archive") == {"removed": "archive"}


def test_people_are_told_what_was_done(run, rain, tmp_path):
    for arguments, said in [
        (("put", str(rain), "fulda:rain.csv"), "fulda:rain.csv"),
        (("open", "fulda:rain.csv"), "day  rain"),
        (("storages", "add", "archive", "local", f"folder={tmp_path / 'a'}", "--site", "kiel", "--tag", "disk"), "can be used"),
        (("storages", "set", "archive", "--quota", "2 GB"), "site kiel, tags disk, quota 2 GB"),
        (("storages", "list"), "2 GB"),
        (("copy", "fulda:rain.csv", "archive"), "done"),
        (("transfers",), "stream"),
        (("rules", "add", "fulda:rain.csv", "--copies", "2", "--near", "kiel", "--apart"), "2 copies of 'fulda:rain.csv', near kiel, apart"),
        (("rules",), "apart"),
        (("keep",), "Rules: 1 ok."),
        (("reclaim", "archive"), "0 copies dropped"),
        (("watch", "add", "archive", "inbox", "--scope", "inbox", "--pattern", "*.nc"), "are called inbox:"),
        (("watch",), "*.nc"),
        (("watch", "scan"), "0 files have got names."),
        (("tokens", "add", "kiel", "static", "token=env:KIEL"), "profile=kiel"),
        (("tokens",), "token=env:KIEL"),
        (("tokens", "remove", "kiel"), "Forgot token profile 'kiel'."),
        (("changes", "fulda:rain.csv"), "copied"),
        (("verify",), "good"),
        (("remove", "fulda:rain.csv"), "Removed 'fulda:rain.csv' (file), which was on"),
    ]:  # fmt: skip
        code, text = run(*arguments)
        assert (code == 0 and said in " ".join(text.split())) or said in text, (arguments, text)


def test_a_folder_gets_names_like_its_paths(told, run, tmp_path):
    folder = tmp_path / "archive" / "old" / "deep"
    folder.mkdir(parents=True)
    (folder / "ü b.txt").write_text("b")
    (folder.parent / "a.txt").write_text("a")
    told("storages", "add", "archive", "local", f"folder={tmp_path / 'archive'}")
    assert told("register", "old", "archive", "old/", "--into", "old:all")["registered"] == [
        "old:a.txt",
        "old:deep.ü b.txt",
    ]
    assert told("register", "old:", "archive", "/")["registered"] == ["old:old.a.txt", "old:old.deep.ü b.txt"]
    assert told("register", "old:one", "archive", "old/a.txt", "--licence", "MIT")["licence"] == "MIT"
    assert told("group", "old:box", "old:all", "--container")["members"] == ["old:all"]
    assert run("register", "old:x", "archive", "../home")[0] == 1


def test_a_damaged_replica_is_exit_code_3(told, run, home, rain):
    path = told("put", str(rain), "fulda:rain.csv")["replicas"][0]["path"]
    (home / "data" / path).write_text("day,rain\n1,2.5\n2,0.1\n")
    code, text = run("verify", "--no-repair", "--json")
    assert code == 3
    assert json.loads(text)["replicas"][0]["outcome"] == "damaged"


def test_what_is_wrong_has_its_exit_code(told, run, rain, tmp_path):
    told("put", str(rain), "fulda:rain.csv")
    for arguments, code in [
        (("get", "fulda:snow.csv", "x"), 4),
        (("get", "fulda:rain.csv", str(rain)), 1),
        (("put", str(tmp_path / "none"), "a:b"), 4),
        (("put", str(rain), "a:b", "--storage", "nowhere"), 4),
        (("put", str(rain), "fulda:rain.csv"), 1),
        (("put", str(rain), "../x:b"), 1),
        (("put", str(rain), "a:b", "--digest", "sha256:" + "0" * 64), 1),
        (("put", str(rain), "a:b", "--digest", "sha256"), 2),
        (("put", str(rain), "a:b", "--meta", "variable"), 2),
        (("put", str(rain), "a:b", "--lifetime", "99999999 d"), 1),
        (("copy", "fulda:rain.csv", "nowhere"), 4),
        (("copy", "fulda:rain.csv"), 2),
        (("copy", "fulda:rain.csv", "home", "--priority", "1001"), 2),
        (("transfers", "transfer-none"), 4),
        (("transfers", "--state", "lost"), 2),
        (("cancel", "transfer-none"), 4),
        (("storages", "add", "x", "local", "fodler=/tmp"), 1),
        (("storages", "add", "x", "local", "folder"), 2),
        (("storages", "add", "x", "nokind"), 4),
        (("storages", "add", "x", "webdav", "url=http://127.0.0.1:1", "token=abc"), 1),
        (("storages", "set", "nowhere", "--site", "a"), 4),
        (("storages", "set", "home", "--quota", "much"), 1),
        (("storages", "remove", "nowhere"), 4),
        (("tokens", "add", "x", "frob"), 1),
        (("tokens", "try", "home", "read"), 1),
        (("tokens", "try", "home", "frob"), 2),
        (("tokens", "remove", "x"), 4),
        (("rules", "add", "a:b", "--copies", "0"), 2),
        (("rules", "add", "a:b", "--on", "nowhere"), 4),
        (("rules", "remove", "rule-none"), 4),
        (("watch", "add", "nowhere", "--scope", "a"), 4),
        (("watch", "add", "home"), 2),
        (("watch", "remove", "watch-none"), 4),
        (("reclaim", "nowhere"), 4),
        (("reclaim", "home", "--bytes", "much"), 1),
        (("export", "nothing", str(tmp_path / "x.parquet")), 4),
        (("changes", "noname"), 1),
        (("frob",), 2),
        (("put", str(rain)), 2),
    ]:
        assert run(*arguments)[0] == code, arguments
    assert len(told("find")["datasets"]) == 1
    assert [item["name"] for item in told("storages")["storages"]] == ["home"]


def test_a_failed_transfer_is_told_with_its_own_code(told, run, rain, home, tmp_path):
    told("storages", "add", "archive", "local", f"folder={tmp_path / 'archive'}")
    path = told("put", str(rain), "fulda:rain.csv")["replicas"][0]["path"]
    (home / "data" / path).unlink()
    code, text = run("copy", "fulda:rain.csv", "archive")
    assert code == 4 and "There is no file" in text
    (failed,) = told("transfers", "--state", "failed")["transfers"]
    assert failed["error"]["code"] == "not-found"
    code, text = run("transfers", failed["id"])
    assert code == 0 and "failed" in text


def test_a_transfer_for_later_is_listed_followed_and_cancelled(told, rain, tmp_path):
    told("storages", "add", "archive", "local", f"folder={tmp_path / 'archive'}")
    told("put", str(rain), "fulda:rain.csv")
    (queued,) = told("copy", "fulda:rain.csv", "archive", "--later", "--priority", "9")["transfers"]
    assert queued["priority"] == 9
    assert told("transfers", queued["id"], "--wait")["state"] == "done"
    assert told("cancel", queued["id"])["transfers"][0]["state"] == "done", "over is over"
    assert [item["id"] for item in told("transfers", "--name", "fulda:rain.csv")["transfers"]] == [queued["id"]]


def test_changes_come_with_numbers_and_as_records(told, run, rain):
    told("put", str(rain), "fulda:rain.csv")
    told("put", str(rain), "fulda:snow.csv")
    first, second = told("changes")["changes"]
    assert [item["name"] for item in told("changes", "--after", str(first["number"]))["changes"]] == ["fulda:snow.csv"]
    code, text = run("changes", "fulda:snow.csv", "--records")
    assert code == 0 and json.loads(text) == {"Records": second["Records"]}


def test_rules_watches_and_tokens_in_json(told, rain, tmp_path, monkeypatch):
    told("storages", "add", "archive", "local", f"folder={tmp_path / 'archive'}", "--quota", "1 MB", "--tag", "disk")
    rule = told(
        "rules", "add", "fulda:rain.csv", "--copies", "2", "--tag", "disk", "--on", "archive", "--lifetime", "1 d"
    )
    assert (rule["tags"], rule["storages"], rule["apart"]) == (["disk"], ["archive"], False) and rule["expires"]
    assert told("rules", "list", "fulda:rain.csv")["rules"][0]["id"] == rule["id"]
    assert told("keep")["rules"] == {rule["id"]: "stuck"}
    told("put", str(rain), "fulda:rain.csv")
    assert told("keep", "--wait")["rules"] == {rule["id"]: "stuck"}, "one storage is no place for two copies"
    more = told("rules", "add", "fulda:rain.csv", "--copies", "2")
    assert told("keep", "--wait")["rules"][more["id"]] == "ok"
    told("rules", "remove", more["id"])
    assert told("rules", "remove", rule["id"]) == {"removed": rule["id"]} and told("rules")["rules"] == []
    watch = told("watch", "add", "archive", "--scope", "inbox", "--into", "inbox:all", "--licence", "MIT")
    (tmp_path / "archive").mkdir(exist_ok=True)
    (tmp_path / "archive" / "a.txt").write_text("a")
    os.utime(tmp_path / "archive" / "a.txt", (1e9, 1e9))
    assert told("watch", "scan") == {"registered": ["inbox:a.txt"]}
    assert told("watch", "list")["watches"][0]["id"] == watch["id"]
    assert told("watch", "remove", watch["id"]) == {"removed": watch["id"]}
    monkeypatch.setenv("KIEL_TOKEN", "very-secret-token")
    told("tokens", "add", "kiel", "static", "token=env:KIEL_TOKEN")
    told("storages", "add", "dav", "webdav", "url=http://127.0.0.1:9/x", "profile=kiel")
    tried = told("tokens", "try", "dav", "read", "a.nc")
    assert tried["worked"] and "very-secret" not in json.dumps([tried, told("tokens"), told("storages")])


def test_errors_are_one_json_object_and_help_has_exit_codes(home, tmp_path):
    ended: subprocess.CompletedProcess[str] = gemel("data", "get", "a:b", "x", "--json", home=home, cwd=tmp_path)
    assert ended.returncode == 4 and json.loads(ended.stdout)["error"]["code"] == "not-found"
    for name in data.list_commands(click.Context(data)):
        text = CliRunner().invoke(root, ["data", name, "--help"]).stdout
        assert "Example:  gemel data" in text and "Exit codes:" in text, name


def test_help_loads_no_verb_and_no_engine():
    code = "import sys; from gemel.cli._root import root; root.main(['--help'], standalone_mode=False); import gemel.cli._data"
    ended = subprocess.run([sys.executable, "-c", f"{code}\nprint([m for m in sys.modules if m in HEAVY])".replace("HEAVY", "('numpy', 'xarray', 'gemel.cli._data_files', 'gemel.core.engine')")], capture_output=True, text=True, check=True)  # fmt: skip
    assert ended.stdout.strip().splitlines()[-1] == "[]"


def test_two_terminals_on_one_engine(home, tmp_path, rain):
    """One engine serves; another terminal, elsewhere, uses it by its address, and follows what happens there."""
    content = os.urandom(3_000_000)
    (tmp_path / "a.bin").write_bytes(content)
    with up(home=home, cwd=tmp_path) as (server, _):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "token").write_text(server.token)
        (elsewhere / "token").chmod(0o600)

        def typed(*arguments: str) -> dict:
            ended = gemel("--url", server.url, "data", *arguments, "--json", home=elsewhere, cwd=tmp_path)
            assert ended.returncode == 0, ended.stdout + ended.stderr
            return json.loads(ended.stdout)

        command = [sys.executable, "-m", "gemel", "data", "changes", "--follow", "--json"]
        variables = environment(elsewhere, GEMEL_URL=server.url)
        with subprocess.Popen(command, env=variables, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdout
            typed("put", "a.bin", "far:a.bin")
            assert json.loads(follower.stdout.readline())["name"] == "far:a.bin"
            follower.kill()
        typed("storages", "add", "archive", "local", f"folder={tmp_path / 'archive'}", "--site", "kiel")
        assert typed("copy", "far:a.bin", "archive")["transfers"][0]["state"] == "done"
        typed("rules", "add", "far:a.bin", "--copies", "2")
        assert typed("verify")["passed"]
        typed("get", "far:a.bin", "back.bin")
        assert (tmp_path / "back.bin").read_bytes() == content
        assert typed("open", "far:a.bin", "--option", "format=bytes")["size"] == len(content)
        lost = next(path for path in (tmp_path / "archive").rglob("*") if path.is_file())
        lost.unlink()
        assert typed("verify")["replicas"][-1]["outcome"] in ("good", "repaired")
        until(lambda: any(path.is_file() for path in (tmp_path / "archive").rglob("*")), PATIENCE)
    assert not (elsewhere / "gemel.db").exists(), "nothing is opened here"


def test_progress_is_told_of_what_takes_longer_than_a_second():
    """Lines where nobody sees a terminal, one a second at most; a reason to wait is told at once."""
    shown, now = io.StringIO(), [0.0]
    with Teller("putting large:a", Console(file=shown, width=120, emoji=False), lambda: now[0]) as teller:
        for tenth in range(32):
            now[0] = tenth / 10
            teller({"bytes": tenth * 10_000_000, "size": 320_000_000, "files": 1, "of": 2, "note": None})
        teller({"bytes": 310_000_000, "note": "'a:b' is tried again"})
    lines = shown.getvalue().splitlines()
    assert lines[0] == "  … putting large:a: 100 MB of 320 MB, 100 MB/s, 1 of 2 files" and len(lines) == 4
    assert lines[-1] == "  'a:b' is tried again"


def test_a_terminal_shows_a_bar_that_goes_away():
    shown, now = io.StringIO(), [0.0]
    with Teller("putting large:a", Console(file=shown, force_terminal=True, width=120), lambda: now[0]) as teller:
        teller({"bytes": 1, "size": 4_000_000})
        assert not shown.getvalue(), "nothing for what is over in a moment"
        now[0] = 2.0
        teller({"files": 3})
        teller({"bytes": 2_000_000, "size": 4_000_000})
    assert "putting large:a" in shown.getvalue() and "2 MB of 4 MB, 1 MB/s" in shown.getvalue()


def test_progress_goes_to_standard_error_alone(home, tmp_path):
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(1_500_000_000)  # takes some seconds to be hashed; synthetic, all zeros
    ended = gemel("data", "put", "large.bin", "large:a", "--json", home=home, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["size"] == 1_500_000_000
    assert "putting large:a: " in ended.stderr and " of 1.5 GB, " in ended.stderr
