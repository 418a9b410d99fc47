"""Running a foreign program where it can do no harm: bubblewrap around it, limits on what it may use.

Inside there is no network, no other process, and no file but the system's programs (read only) and one folder of its
own. Without bubblewrap only the limits hold, and nothing runs that way unless the caller says so.
"""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gemel.base.errors import MissingTool, Unconfined
from gemel.infra.compute._isolated import Stopped
from gemel.infra.compute._seccomp import no_new_processes

_POLL_SECONDS = 0.1
_KEPT_BYTES = 64_000  # of what a program prints, from its beginning
_SYSTEM: tuple[str, ...] = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/alternatives",
)
_SYSTEM += ("/etc/ssl", "/etc/localtime", "/etc/fonts")
_NAMES = ("/etc/resolv.conf", "/etc/hosts")
_SCRATCH_BYTES = 64_000_000  # of /tmp inside, which takes memory
_ENTRY_BYTES = 4096  # what a file takes however little is in it, so that their number is limited too
INSIDE = Path("/box")  # where the program's own folder appears


@dataclass(frozen=True)
class Limits:
    """What a confined program may use.

    Attributes:
        seconds: Time on the clock.
        memory: Bytes of address space of each of its processes.
        printed: Bytes on standard output and error together.
        written: Bytes in its folder.
        files: Files open at once.
        processes: Whether it may start other processes.
    """

    seconds: float = 300.0
    memory: int = 2_000_000_000
    printed: int = 8_000_000
    written: int = 4_000_000_000
    files: int = 256
    processes: bool = False


@dataclass(frozen=True)
class Box:
    """What surrounds a confined program.

    Attributes:
        folder: The one folder it may write to; inside it is `/box`.
        readable: Files and folders that it may read, at their own places.
        limits: What it may use.
        network: Whether it may use the network.
        environment: Its environment beside a plain PATH, HOME and LANG.
        required: Refuse to run where only the limits would hold.
    """

    folder: Path
    readable: Sequence[Path] = ()
    limits: Limits = field(default_factory=Limits)
    network: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    required: bool = True


@dataclass(frozen=True)
class Ended:
    """How a confined program ended.

    Attributes:
        code: Exit code, negative for the signal that killed it.
        output: The first part of what it printed on standard output.
        errors: The same of standard error.
        exceeded: Which limit it ran into (`time`, `output`, `disk`), or None.
        level: What held it: `bubblewrap` or `limits`.
    """

    code: int
    output: str
    errors: str
    exceeded: str | None
    level: str


@dataclass
class _Heard:
    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    total: int = 0

    def take(self, key: selectors.SelectorKey, selector: selectors.BaseSelector) -> None:
        """Read what is there; at its end, listen no more."""
        piece = os.read(key.fd, 1 << 16)
        if not piece:
            selector.unregister(key.fileobj)
        self.total += len(piece)
        key.data.extend(piece[: max(0, _KEPT_BYTES - len(key.data))])


def confinement() -> str:
    """Return `bubblewrap` where that works, else `limits`."""
    return "bubblewrap" if shutil.which("bwrap") and _bubblewrap_works() else "limits"


def run_confined(command: Sequence[str], box: Box, *, stopped: Callable[[], bool] = lambda: False) -> Ended:
    """Return how `command` ended after running it confined.

    Args:
        command: Program and arguments; paths as they are inside the box.
        box: What surrounds it.
        stopped: Asked a few times a second; when true the program is killed.

    Raises:
        Unconfined: There is no working bubblewrap and the box requires it.
        Stopped: `stopped` became true.
    """
    level = confinement()
    if level != "bubblewrap" and box.required:
        raise Unconfined(
            "Foreign code is not run here: bubblewrap, which would confine it, is missing or may not be used.",
            hint="apt install bubblewrap; or accept that only time and memory are limited: --set sandbox.required=false",
        )
    with _wrapped(command, box, level) as (wrapped, descriptors):
        process = subprocess.Popen(
            [*_prlimit(box.limits), *wrapped],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=box.folder,
            env=_environment(box, level),
            pass_fds=descriptors,
            start_new_session=True,
        )
        try:
            heard, exceeded = _listen(process, box, stopped)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
    return Ended(code, _text(heard.output), _text(heard.errors), exceeded, level)


def _environment(box: Box, level: str) -> dict[str, str]:
    home = INSIDE if level == "bubblewrap" else box.folder
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"} | dict(box.environment)


@functools.cache
def _bubblewrap_works() -> bool:
    command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


def _prlimit(limits: Limits) -> list[str]:
    program = shutil.which("prlimit")
    if program is None:
        raise MissingTool("The program 'prlimit' is not installed.", hint="apt install util-linux")
    return [
        program,
        f"--as={limits.memory}",
        f"--cpu={int(limits.seconds) + 1}",
        f"--fsize={limits.written}",
        f"--nofile={limits.files}",
        "--core=0",
    ]


@contextlib.contextmanager
def _wrapped(command: Sequence[str], box: Box, level: str) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    if level != "bubblewrap":
        yield [part.replace(str(INSIDE), str(box.folder)) for part in command], ()
        return
    filters = () if box.limits.processes else (no_new_processes(),)
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--share-net"] if box.network else []
    places = ["--proc", "/proc", "--dev", "/dev", "--size", str(_SCRATCH_BYTES), "--tmpfs", "/tmp"]
    system = (*_SYSTEM, *(_NAMES if box.network else ()))
    places += [item for path in system for item in ("--ro-bind-try", path, path)]
    places += [item for path in box.readable for item in ("--ro-bind", str(path), str(path))]
    places += ["--bind", str(box.folder), str(INSIDE), "--chdir", str(INSIDE)]
    sealed = [item for descriptor in filters for item in ("--seccomp", str(descriptor))]
    try:
        yield ["bwrap", *options, *places, *sealed, *command], filters
    finally:
        for descriptor in filters:
            os.close(descriptor)


def _listen(process: subprocess.Popen[bytes], box: Box, stopped: Callable[[], bool]) -> tuple[_Heard, str | None]:
    heard, limits = _Heard(), box.limits
    deadline = time.monotonic() + limits.seconds
    with selectors.DefaultSelector() as selector:
        for stream, kept in ((process.stdout, heard.output), (process.stderr, heard.errors)):
            assert stream is not None
            selector.register(stream, selectors.EVENT_READ, kept)
        while selector.get_map():
            if stopped():
                raise Stopped
            if time.monotonic() > deadline:
                return heard, "time"
            for key, _ in selector.select(_POLL_SECONDS):
                heard.take(key, selector)
            if heard.total > limits.printed:
                return heard, "output"
            if _size(box.folder) > limits.written:
                return heard, "disk"
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.1, deadline - time.monotonic()))
    return heard, None if process.returncode is not None else "time"


def _size(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(path.lstat().st_size + _ENTRY_BYTES for path in folder.rglob("*"))
    return 0  # a file that came and went while it was looked at


def _text(data: bytearray) -> str:
    return bytes(data).decode(errors="replace")
