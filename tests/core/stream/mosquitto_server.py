"""A real Mosquitto, on loopback and in a private folder, whose sessions outlive it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

_PATIENCE = 20.0
# Mosquitto writes its sessions to the disk when it ends, and after so many changes of them: here after each.
_SETTINGS = """\
listener {port} 127.0.0.1
allow_anonymous {anonymous}
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1
max_queued_messages 100000
log_type all
"""


class MosquittoServer:
    """A broker that can be killed and started again on its files."""

    def __init__(self, folder: Path, program: str, users: dict[str, str] | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # started by root, it becomes another user
        self._folder, self._program = folder, program
        self._process: subprocess.Popen[bytes] | None = None
        settings = _SETTINGS.format(port=self.port, folder=folder, anonymous="false" if users else "true")
        if users:
            settings += f"password_file {folder / 'users'}\n"
            (folder / "users").touch(mode=0o644)
            for name, password in users.items():
                command = [str(Path(shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd")), "-b"]
                subprocess.run([*command, str(folder / "users"), name, password], check=True, capture_output=True)
            (folder / "users").chmod(0o644)
        (folder / "mosquitto.conf").write_text(settings + "user root\n")

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [self._program, "-c", str(self._folder / "mosquitto.conf")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + _PATIENCE
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"mosquitto did not start: {(self._folder / 'log').read_text()[-2000:]}")
            threading.Event().wait(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """Return what the broker has said."""
        return (self._folder / "log").read_text()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def mosquitto_program() -> str:
    """Return the path of mosquitto, or skip the test."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("mosquitto is not installed (Debian package `mosquitto`)")
    return found
