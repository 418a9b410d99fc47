"""Processes that live for moments, forked from one that has imported everything and opened nothing.

The script that is forked calls `serve(main)`: each line on standard input is `go` with a JSON list of the arguments of
`main`, answered by the id of the process that runs it, or `reap` with such an id, answered by how that process ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

# A process that lives for milliseconds must not spend them on imports.
_HEAVY = ("alembic.command", "alembic.config", "pg8000.dbapi", "sqlalchemy.dialects.postgresql.pg8000", "nats")


class Zygote:
    """The process that others are forked from."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, *arguments: str) -> int:
        """Return the id of a new process that runs `main` with the arguments."""
        return int(self._ask("go " + json.dumps(arguments)))

    def reap(self, pid: int) -> int:
        """Return how a process ended, once it has."""
        return int(self._ask(f"reap {pid}"))

    def kill(self, pid: int) -> int:
        """Return how a process ended that was killed now, unless it had ended by itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return self.reap(pid)

    def _ask(self, line: str) -> str:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the forking process died"
        return answer


@contextlib.contextmanager
def forking(script: str, errors: IO[str] | None = None) -> Iterator[Zygote]:
    """Yield the process of a script, which goes with all that it forked and that was not reaped."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, script]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=errors, text=True, env=environment) as process:
        yield Zygote(process)
        process.kill()


def serve(main: Callable[..., None]) -> None:
    """Fork one process for each `go` and tell how it ended at each `reap`."""
    for module in _HEAVY:
        importlib.import_module(module)
    for line in sys.stdin:
        command, _, rest = line.partition(" ")
        if command == "go":
            child = os.fork()
            if not child:
                _run_and_leave(main, json.loads(rest))
            print(child, flush=True)
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(int(rest), 0)[1]), flush=True)


def _run_and_leave(main: Callable[..., None], arguments: list[str]) -> None:
    try:
        main(*arguments)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
