"""A command between its inputs and its outputs."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from gemel.base.errors import InvalidInput, NotFound
from gemel.infra.lake.staging._provenance import Job
from gemel.infra.lake.staging._stage import Staged

_NOT_FOUND, _NOT_RUN = 127, 126  # exit codes of shells (POSIX, XCU 2.8.2)
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


def run_staged(
    bring: Callable[[], Sequence[Staged]],
    command: Sequence[str],
    register: Callable[[Job], Sequence[Staged]],
    *,
    always: bool = False,
    quiet: bool = False,
) -> tuple[int, Sequence[Staged], Sequence[Staged]]:
    """Return a command's exit code, its inputs and its outputs; of one that failed nothing is registered.

    Args:
        bring: Stages in, and returns what.
        command: Program and arguments; signals that end a batch job are handed on to it.
        register: Registers outputs, and returns them.
        always: Whether to register outputs of a command that failed, too.
        quiet: Whether what the command prints goes to standard error.

    Raises:
        InvalidInput: There is no command.
    """
    if not command:
        raise InvalidInput("There is no command to run.", hint="gemel data stage run … -- COMMAND")
    inputs = list(bring())
    job = Job.beginning([item.told() for item in inputs], command)
    job = job.ending(_ran(command, quiet))
    assert job.exit_code is not None
    wanted = always or job.exit_code == 0
    return job.exit_code, inputs, list(register(job)) if wanted else []


def _ran(command: Sequence[str], quiet: bool) -> int:
    try:
        process = subprocess.Popen(list(command), stdout=sys.stderr if quiet else None)
    except FileNotFoundError as error:
        raise NotFound(f"There is no command '{command[0]}'.", exit_code=_NOT_FOUND) from error
    except OSError as error:
        message = f"'{shlex.join(command)[:200]}' cannot be run: {error.strerror}."
        raise InvalidInput(message, exit_code=_NOT_RUN) from error
    with _handing_on(process):
        code = process.wait()
    # A shell tells of a command that signal N ended by 128 + N.
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _handing_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    def hand_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
