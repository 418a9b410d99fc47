"""What decision 4 says of signing in, asked of a served engine by real clients."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs /proc/net/tcp (Linux)")


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "gemel", "up", "--port", "0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "GEMEL_HOME": str(home)})
    try:
        assert server.stdout is not None
        yield str(json.loads(server.stdout.readline())["url"])
    finally:
        server.terminate()
        server.communicate(timeout=30)


def ask(url: str, **headers: str) -> tuple[int, str]:
    """Return the status of a request for a page and the cookie that came with it."""
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers.get("Set-Cookie", "")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("Set-Cookie", "")


def test_the_page_signs_in_whoever_started_the_engine_and_nobody_else(address: str, home: Path) -> None:
    token, page = (home / "token").read_text(), f"{address}/twins"
    status, cookie = ask(page)
    assert status == 200
    assert cookie == f"gemel_token={token}; HttpOnly; SameSite=Strict; Path=/"
    refused = {
        "a foreign host name": (403, ask(page, Host="evil.example")),
        "a page of another origin": (403, ask(page, Origin="http://evil.example")),
        "a forwarded request": (401, ask(page, X_Forwarded_For="192.0.2.1")),
        "a request that another site caused": (401, ask(page, Sec_Fetch_Site="cross-site")),
        "a wrong token": (401, ask(page, Authorization="Bearer wrong")),
        "the API without a token": (401, ask(f"{address}/api/v1/twins")),
    }
    for what, (wanted, (status, cookie)) in refused.items():
        assert (status, cookie) == (wanted, ""), what
    assert ask(f"{address}/api/v1/twins", Authorization=f"Bearer {token}")[0] == 200
    assert ask(f"{address}/health")[0] == 200
    assert (home / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can ask as another user (setpriv)"
)
def test_another_user_of_the_machine_is_not_signed_in(address: str) -> None:
    nobody = pwd.getpwnam("nobody")
    code = (
        "import sys, urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen(sys.argv[1]).status)\n"
        "except urllib.error.HTTPError as error: print(error.code, error.headers.get('Set-Cookie'))"
    )
    # Debian's own Python: that of the tests may lie where nobody can read it.
    command = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    done = subprocess.run(
        [*command, "/usr/bin/python3", "-c", code, f"{address}/twins"], capture_output=True, text=True, cwd="/"
    )
    assert done.stdout.split() == ["401", "None"], done.stderr
