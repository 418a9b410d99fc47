"""Fixtures for all tests: a private home folder, both databases for real, and no silent skips where CI says so."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

# The same examples every time, and no deadline: how fast a busy machine is says nothing about a property.
hypothesis.settings.register_profile("gemel", deadline=None, derandomize=True)
hypothesis.settings.load_profile("gemel")

# Scripts for foreign clients run in environments of their own; `--doctest-modules` would import them here.
collect_ignore_glob = ["faces/*/foreign_*.py"]

_IN_CI = os.environ.get("CI", "").lower() == "true"
_BINARIES = (Path("/usr/lib/postgresql/15/bin"), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))


@dataclass(frozen=True)
class PostgresServer:
    """A private PostgreSQL on a loopback port."""

    port: int
    password: str
    version: str

    def url(self, database: str) -> str:
        return f"postgresql://gemel:{self.password}@127.0.0.1:{self.port}/{database}"


@pytest.fixture(autouse=True)
def _no_engine_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the home and the settings of whoever runs it."""
    for name in [name for name in os.environ if name.startswith("GEMEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg-config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg-data"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a fresh GEMEL_HOME."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("GEMEL_HOME", str(folder))
    return folder


@pytest.fixture
def sqlite_url(home: Path) -> str:
    """Return the URL of a SQLite store that does not exist yet."""
    return f"sqlite:///{home / 'gemel.db'}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Yield a real PostgreSQL, started in a private folder and removed afterwards."""
    binaries = next((folder for folder in _BINARIES if (folder / "initdb").exists()), None)
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian package `postgresql`)")
    with contextlib.ExitStack() as stack:
        yield _start(binaries, stack)


@pytest.fixture(scope="session")
def _new_database(postgres_server: PostgresServer) -> Callable[[], str]:
    numbers = itertools.count(1)

    def create() -> str:
        import pg8000.dbapi

        name = f"gemel_{next(numbers)}"
        connection = pg8000.dbapi.connect(
            "gemel", "127.0.0.1", "postgres", postgres_server.port, postgres_server.password
        )
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
        connection.close()
        return postgres_server.url(name)

    return create


@pytest.fixture
def postgres_url(_new_database: Callable[[], str]) -> str:
    """Return the URL of a PostgreSQL database of this test's own."""
    return _new_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, home: Path) -> str:
    """Return the URL of an empty store, once on SQLite and once on PostgreSQL."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


def _start(binaries: Path, stack: contextlib.ExitStack) -> PostgresServer:
    folder = Path(tempfile.mkdtemp(prefix="gemel-postgres-", dir="/tmp"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    password = secrets.token_hex(16)
    secret = folder / "password"
    secret.write_text(password)
    as_user: list[str] = []
    if os.geteuid() == 0:  # initdb refuses root
        user = pwd.getpwnam("postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
        for path in (folder, secret):
            os.chown(path, user.pw_uid, user.pw_gid)
    data, log, port = folder / "data", folder / "log", _free_port()
    options = ["--auth=scram-sha-256", "--username=gemel", f"--pwfile={secret}", "--encoding=UTF8", "--no-locale"]
    _succeed([*as_user, str(binaries / "initdb"), "--no-sync", *options, f"--pgdata={data}"], folder)
    # No socket, loopback only: nobody else on the machine finds it, and the port is its only door.
    flags = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories='' -p {port} -c max_connections=200"
    control = [*as_user, str(binaries / "pg_ctl"), "-D", str(data), "-w", "-t", "60"]
    _succeed([*control, "-l", str(log), "-o", flags, "start"], folder)
    stack.callback(subprocess.run, [*control, "-m", "immediate", "stop"], cwd=folder, stdout=subprocess.DEVNULL)
    version = subprocess.run([str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=True)
    return PostgresServer(port, password, version.stdout.strip())


def _succeed(command: list[str], folder: Path) -> None:
    # The server would keep a pipe open for ever, so what is said goes to a file.
    told = folder / "told"
    with told.open("w") as stream:
        code = subprocess.run(command, stdout=stream, stderr=stream, cwd=folder).returncode
    if code:
        raise RuntimeError(f"{' '.join(command)} failed:\n{told.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Folders whose tests start servers, boxes or databases: too slow, all together, for `make check`.
_SERVED = ("faces", "processing", "infra/lake", "cli", "testing", "docs", "sdk", "server", "core/tiling")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes real servers as slow."""
    served = [Path(__file__).parent / folder for folder in _SERVED]
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in served):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn a skip into a failure where CI promises that everything runs."""
    result = yield
    _no_skips(result.get_result(), item.nodeid)


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Do the same for modules that skip themselves while they are collected."""
    result = yield
    _no_skips(result.get_result(), collector.nodeid)


def _no_skips(report: pytest.TestReport | pytest.CollectReport, where: str) -> None:
    if _IN_CI and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{where} was skipped, which CI does not allow: {reason}"
