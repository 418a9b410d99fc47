"""The command line around a serving engine, and what people type wrong."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stage import environment, gemel, up, write_brook

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_brook(tmp_path, [1.0, 2.0, 3.0])
    return tmp_path


def error_of(ended: subprocess.CompletedProcess[str], code: int) -> dict:
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert len(ended.stdout.splitlines()) == 1 and "Traceback" not in ended.stderr
    return json.loads(ended.stdout)["error"]


def test_help_lists_every_command_without_importing_any():
    code = "import sys; from gemel.cli import main\ntry: main()\nfinally: print(sorted(sys.modules), file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, timeout=60)
    for name in [
        "up",
        "twins",
        "card",
        "run",
        "whatif",
        "watch",
        "runs",
        "show",
        "compare",
        "explain",
        "new",
        "check",
        "publish",
        "pull",
        "config",
        "plugins",
        "doctor",
    ]:
        assert re.search(rf"^  {name} ", ended.stdout, re.MULTILINE), name
    assert "gemel up --demo" in ended.stdout and "5 denied" in ended.stdout
    for heavy in ("numpy", "xarray", "fastapi", "sqlalchemy", "pint", "pydantic"):
        assert f"'{heavy}'" not in ended.stderr, f"gemel --help imports {heavy}"


def test_what_is_mistyped_is_understood(home, place):
    usage = error_of(gemel("rnu", "brook", "--json", home=home, cwd=place), 2)
    assert usage["code"] == "usage" and "Did you mean 'run'" in usage["message"]
    option = gemel("run", "brook", "--sett", "rain=1", "--json", home=home, cwd=place)
    assert "--set" in error_of(option, 2)["message"]


def test_a_port_in_use_is_an_error_with_the_next_command_and_starts_nothing(home, place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = gemel("up", "--live", "brook", "--port", str(port), "--json", home=home, cwd=place)
    error = error_of(ended, 1)
    assert error["code"] == "server.port-in-use" and str(port) in error["message"]
    assert error["hint"] == f"gemel up --port {port + 1}"
    assert not (home / "gemel.db").exists()


def test_settings_that_make_no_sense_are_named_with_their_origin(home, place):
    (place / "gemel.toml").write_text("[server]\nprot = 1\n")
    error = error_of(gemel("twins", "--json", home=home, cwd=place), 1)
    assert "server.prot" in error["message"] and "gemel.toml" in error["message"] and "'server.port'" in error["hint"]
    (place / "gemel.toml").write_text("[server\n")
    assert "gemel.toml" in error_of(gemel("twins", "--json", home=home, cwd=place), 1)["message"]
    (place / "gemel.toml").unlink()
    variable = error_of(gemel("twins", "--json", home=home, cwd=place, GEMEL_SERVER__PORT="many"), 1)
    assert "GEMEL_SERVER__PORT" in variable["message"]


def test_a_home_that_cannot_be_used_is_an_error_and_no_traceback(tmp_path, place):
    (tmp_path / "file").write_text("")
    error = error_of(gemel("twins", "--json", home=tmp_path / "file" / "home", cwd=place), 1)
    assert error["code"].startswith("store.") and "file" in error["message"]


def test_a_broken_twin_is_told_in_words(home, place):
    toml = place / "brook" / "twin.toml"
    toml.write_text(toml.read_text().replace("[parameters.rain]", "[parametres.rain]"))
    error = error_of(gemel("run", "brook", "--json", home=home, cwd=place), 1)
    assert error["code"] == "twin.invalid" and "parametres" in error["message"] and "'parameters'" in error["message"]
    listed = gemel("twins", "--json", home=home, cwd=place)
    assert listed.returncode == 0
    assert {twin["id"]: twin["problem"] is None for twin in json.loads(listed.stdout)["twins"]} == {
        "brook": False,
        "earlywarning": True,
        "lattice": True,
    }


def test_a_check_that_fails_is_exit_code_three_with_the_report_on_stdout(home, place):
    toml = place / "brook" / "twin.toml"
    toml.write_text(toml.read_text().replace("bar = 0.5", "bar = -1"))
    ended = gemel("check", "brook", "--json", home=home, cwd=place)
    assert ended.returncode == 3
    report = json.loads(ended.stdout)
    assert not report["passed"] and [check["id"] for check in report["checks"] if not check["passed"]] == ["sum"]
    run = gemel("run", "brook", "validate", "--json", home=home, cwd=place)
    assert run.returncode == 3 and json.loads(run.stdout)["checks"][0]["passed"] is False


def test_a_serving_engine_is_used_from_the_command_line_and_only_with_its_token(home, place, tmp_path):
    with up("--live", "brook", home=home, cwd=place) as (served, _process):
        listed = json.loads(gemel("--url", served.url, "twins", "--json", home=home, cwd=tmp_path).stdout)
        assert next(twin for twin in listed["twins"] if twin["id"] == "brook")["live"] is True
        run = gemel("run", "brook", "--json", home=home, cwd=tmp_path, GEMEL_URL=served.url)
        assert run.returncode == 0 and json.loads(run.stdout)["state"] == "finished"
        shown = gemel("--url", served.url, "show", json.loads(run.stdout)["id"], "--json", home=home, cwd=tmp_path)
        assert json.loads(shown.stdout)["state"] == "finished"
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        denied = error_of(gemel("--url", served.url, "twins", "--json", home=stranger, cwd=tmp_path), 5)
        assert denied["code"] == "access.unauthenticated"
        token = home / "token"
        token.chmod(0o644)
        refused = error_of(gemel("--url", served.url, "twins", "--json", home=home, cwd=tmp_path), 1)
        assert "chmod 600" in refused["hint"]


def test_people_read_tables_and_progress_goes_elsewhere(home, place):
    ended = gemel("run", "brook", "--set", "rain=2", "--save", "out", home=home, cwd=place)
    assert ended.returncode == 0, ended.stderr
    assert "finished" in ended.stdout and "(m3 s-1)" in ended.stdout and "50%" in ended.stdout
    assert sorted(path.name for path in (place / "out").iterdir()) == ["flow.nc", "length.json"]
    assert "Traceback" not in ended.stderr
    piped = subprocess.run(
        f"{sys.executable} -m gemel runs | head -1", shell=True, env=environment(home), cwd=place,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in piped.stderr and "BrokenPipe" not in piped.stderr


@pytest.mark.parametrize("command", ["watch", "show", "cancel", "explain"])
def test_a_run_that_is_not_there_is_exit_code_four(home, place, command):
    error = error_of(gemel(command, "run-none", "--json", home=home, cwd=place), 4)
    assert error["code"] == "not-found" and "run-none" in error["message"]


def test_doctor_config_and_plugins_speak_json_too(home, place):
    doctor = json.loads(gemel("doctor", "--json", home=home, cwd=place).stdout)
    assert doctor["healthy"] is True and {"Python", "journal"} <= {item["what"] for item in doctor["examined"]}
    settings = json.loads(gemel("--set", "server.port=8500", "config", "show", "--json", home=home, cwd=place).stdout)
    port = next(item for item in settings["settings"] if item["name"] == "server.port")
    assert (port["value"], port["origin"]) == (8500, "--set")
    plugins = json.loads(gemel("plugins", "sources", "--json", home=home, cwd=place).stdout)["plugins"]
    assert {"mqtt", "replay", "webhook"} <= {item["name"] for item in plugins}
    assert all(item["healthy"] for item in plugins)
