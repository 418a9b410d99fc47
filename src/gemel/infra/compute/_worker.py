"""The other end of `run_isolated`: reads one call from standard input, answers in frames on the given descriptor."""

from __future__ import annotations

import os
import signal
import sys
import threading

import cloudpickle

from gemel.infra.compute._channel import HEADER, connect, tell_engine


def main(descriptor: int) -> None:
    """Run the call waiting on standard input and send its result or its error."""
    connect(descriptor)
    (length,) = HEADER.unpack(sys.stdin.buffer.read(HEADER.size))
    payload = sys.stdin.buffer.read(length)
    threading.Thread(target=_die_with_engine, daemon=True).start()
    try:
        sys.path[:], call = cloudpickle.loads(payload)
        function, arguments = cloudpickle.loads(call)
        tell_engine("started")
        tell_engine("result", function(**arguments))
    except (Exception, SystemExit) as error:
        tell_engine("error", _portable(error))


def _die_with_engine() -> None:
    # The engine keeps its end open as long as it lives; a killed engine must not leave its steps running.
    os.read(sys.stdin.fileno(), 1)
    os.killpg(0, signal.SIGKILL)


def _portable(error: BaseException) -> Exception:
    """Return the error when it survives the way to the engine, else one that tells it in words."""
    try:
        copy = cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:
        copy = None
    return copy if isinstance(copy, Exception) else RuntimeError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
