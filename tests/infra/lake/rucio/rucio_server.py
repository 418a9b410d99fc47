"""A real Rucio server of PyPI in an environment of its own: SQLite or PostgreSQL, loopback, private folders."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lake_servers import free_port, running

from own_environment import own_environment

ROOT = Path(__file__).parents[4]
PINS = ROOT / "requirements" / "rucio.txt"


@dataclass
class RucioServer:
    """A running server.

    Attributes:
        url: Where it answers.
        home: Its folder, with `etc/rucio.cfg`.
        python: Of its environment.
        user: Its administrator, of the account `root`.
        password: The administrator's, in a file.
    """

    url: str
    home: Path
    python: Path
    user: str
    password: Path

    def options(self, rse: str, **more: str) -> dict[str, str]:
        """Return the options of a storage that is one of its RSEs."""
        reference = f"file:{self.password}"
        known = {"url": self.url, "rse": rse, "account": "root", "user": self.user, "password": reference}
        return known | more

    def daemon(self, name: str, *options: str) -> None:
        """Run a daemon once, to its end."""
        command = [str(self.python.with_name(f"rucio-{name}")), "--run-once", *options]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment(self.home), cwd=self.home)
        assert ended.returncode == 0, ended.stderr[-2000:]


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"RUCIO_HOME": str(home), "PYTHONWARNINGS": "ignore"}


def prepared() -> Path:
    """Return the Python of the server's environment, made by one process on first use and kept."""
    return own_environment("rucio", PINS)


@contextlib.contextmanager
def serving_rucio(home: Path, python: Path, database: str | None = None) -> Iterator[RucioServer]:
    """Yield a new server over a database of its own: SQLite, unless another address is given."""
    port, password = free_port(), secrets.token_hex(12)
    for folder in ("etc", "logs", "traces"):
        (home / folder).mkdir()
    (home / "password").write_text(password)
    facts = {"home": home, "port": port, "password": password, "site": _site_packages(python)}
    facts["database"] = database or f"sqlite:///{home}/rucio.sqlite"
    (home / "etc" / "rucio.cfg").write_text(_CONFIGURATION.format(**facts))
    (home / "etc" / "alembic.ini").write_text(_ALEMBIC.format(**facts))
    made = subprocess.run([str(python), "-c", _BUILD], capture_output=True, text=True, env=environment(home))
    assert made.returncode == 0, made.stderr[-2000:]
    command = [str(python), "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4", "--timeout", "120"]
    command += ["rucio.web.rest.flaskapi.v1.main:application"]
    with running(command, port, home, RUCIO_HOME=str(home), PYTHONWARNINGS="ignore"):
        yield RucioServer(f"http://127.0.0.1:{port}", home, python, "gemel", home / "password")


def _site_packages(python: Path) -> str:
    return str(next((python.parents[1] / "lib").glob("python3*/site-packages")))


_BUILD = """
from rucio.db.sqla.util import build_database, create_base_vo, create_root_account
build_database()
create_base_vo()
create_root_account()
"""

# An address where nobody listens: else each list of replicas would try to download a map of the world's addresses.
_CONFIGURATION = """\
[common]
logdir = {home}/logs
loglevel = WARNING
mailtemplatedir = {home}/etc

[client]
rucio_host = http://127.0.0.1:{port}
auth_host = http://127.0.0.1:{port}
auth_type = userpass
username = gemel
password = {password}
account = root

[core]
geoip_download_url = http://127.0.0.1:9/
geoip_ignore_error = True

[database]
default = {database}

[bootstrap]
userpass_identity = gemel
userpass_pwd = {password}
userpass_email = gemel@example.org

[alembic]
cfg = {home}/etc/alembic.ini

[policy]
permission = generic
schema = generic

[trace]
tracedir = {home}/traces
brokers = localhost
port = 61013
username = none
password = none
topic = /topic/rucio.tracer

[nongrid-trace]
tracedir = {home}/traces
brokers = localhost
port = 61013
username = none
password = none
topic = /topic/rucio.tracer

[api]
endpoints = accounts, auth, config, dids, locks, ping, replicas, requests, rses, rules, scopes

[cache]
use_memcached = False

[conveyor]
transfertool = mock
scheme = file,http,https,davs
"""

_ALEMBIC = """\
[alembic]
script_location = {site}/rucio/db/sqla/migrate_repo/
sqlalchemy.url = {database}

[loggers]
keys = root

[handlers]
keys = console

[formatters]
keys = plain

[logger_root]
level = WARN
handlers = console

[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain

[formatter_plain]
format = %(levelname)s %(message)s
"""
