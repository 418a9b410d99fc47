"""A warm instance as the engine sees it: a process that is started when needed, watched, limited in time, and killed."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import cloudpickle

from gemel.base.errors import GemelError
from gemel.core.stream.functions._binding import Runnable
from gemel.core.stream.functions._frames import CALL, FAILED, READY, SETUP, frame, taken
from gemel.core.stream.functions._outcome import KEPT_LOG, Asked, Outcome, failed
from gemel.core.stream.functions._spec import FunctionSpec
from gemel.infra.compute import Stopped

_LOOK_SECONDS = 0.1
_START_SECONDS = 120.0  # for starting Python and importing what the function needs, on a busy machine
_PIECE = 1 << 16
_MARGIN = 1 << 20  # a frame that fails may carry this much beside the largest result


class WarmInstance:
    """An instance that runs a process or graph.

    Args:
        spec: The function.
        find: Returns what it runs, looked up anew for each process.
        largest: Bytes that a result may have.
    """

    def __init__(self, spec: FunctionSpec, find: Callable[[FunctionSpec], Runnable], largest: int) -> None:
        self._spec, self._find, self._largest = spec, find, largest
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self._buffer = bytearray()
        self._log = bytearray()

    @property
    def pid(self) -> int | None:
        """Return the process's id while there is one."""
        return None if self._process is None else self._process.pid

    def warm(self, stopped: Callable[[], bool]) -> None:
        """Start the process; a failure is told by the next call."""
        with contextlib.suppress(Stopped):
            self._started(stopped)

    def run(self, asked: Asked, stopped: Callable[[], bool]) -> Outcome:
        """Return how a call ended.

        Raises:
            Stopped: `stopped` became true.
        """
        self._log.clear()
        problem = self._started(stopped)
        if problem is not None:
            return problem
        try:
            kind, content = self._exchange(frame(CALL, asked.data), self._spec.timeout, stopped)
        except TimeoutError:
            return self._lost(f"It took longer than its limit of {self._spec.timeout:g} s.", "function.timeout")
        except (EOFError, ValueError):
            return self._lost(f"Its instance died: {self._ending()}.", "function.died")
        except Stopped:
            self.close()
            raise
        if kind != FAILED:
            return Outcome(content, None, self._printed())
        return self._failure(content)

    def close(self) -> None:
        """Kill the process and what it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait()
        os.close(self._answers)
        self._buffer.clear()

    def _failure(self, content: bytes) -> Outcome:
        error = json.loads(content)
        if error["code"] == "MemoryError":
            # What it holds by now would fail the next call, too.
            self.close()
            error |= {"message": "It ran out of memory.", "hint": "Raise the function's memory, or give it less to do."}
        return Outcome(None, error, self._printed())

    def _lost(self, message: str, code: str) -> Outcome:
        self.close()
        return failed(message, code, log=self._printed())

    def _started(self, stopped: Callable[[], bool]) -> Outcome | None:
        """Return None once the instance is ready, or the outcome of a call that finds it cannot be."""
        if self._process is not None and self._process.poll() is None:
            return None
        self.close()
        try:
            setup = self._setup()
        except GemelError as error:
            return failed(error.message, error.code, hint=error.hint)
        self._spawn()
        try:
            kind, content = self._exchange(frame(SETUP, setup), _START_SECONDS, stopped)
        except TimeoutError:
            return self._lost("Its instance did not start in time.", "function.died")
        except (EOFError, ValueError):
            return self._lost(f"Its instance died as it started: {self._ending()}.", "function.died")
        except Stopped:
            self.close()
            raise
        if kind == READY:
            return None
        self.close()
        return Outcome(None, json.loads(content), self._printed())

    def _setup(self) -> bytes:
        spec = self._spec
        setup = {
            "runnable": self._find(spec),
            "arguments": dict(spec.arguments),
            "memory": spec.memory,
            "largest": self._largest,
        }
        # The new process must find the same modules before it can read what refers to them.
        return bytes(cloudpickle.dumps((sys.path, cloudpickle.dumps(setup))))

    def _spawn(self) -> None:
        reader, writer = os.pipe()
        try:
            # A session of its own, so that killing it takes whatever it started along.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gemel.core.stream.functions._instance", str(writer)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(writer,),
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(self._spec.environment),
                start_new_session=True,
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self._answers = reader
        assert self._process.stdin is not None and self._process.stdout is not None
        for descriptor in (reader, self._process.stdin.fileno(), self._process.stdout.fileno()):
            os.set_blocking(descriptor, False)

    def _exchange(self, request: bytes, seconds: float, stopped: Callable[[], bool]) -> tuple[bytes, bytes]:
        """Return the frame that answers a request; what is printed meanwhile goes to the log."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        deadline, left = time.monotonic() + seconds, memoryview(request)
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            selector.register(process.stdout, selectors.EVENT_READ)
            selector.register(process.stdin, selectors.EVENT_WRITE)
            while True:
                if stopped():
                    raise Stopped
                if time.monotonic() > deadline:
                    raise TimeoutError
                for key, _ in selector.select(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic()))):
                    if key.fileobj is process.stdin:
                        left = self._given(selector, left)
                    else:
                        self._heard(selector, key)
                found = taken(self._buffer, self._largest + _MARGIN)
                if found is not None:
                    return found
                if process.poll() is not None and not self._drained():
                    raise EOFError

    def _given(self, selector: selectors.BaseSelector, left: memoryview) -> memoryview:
        assert self._process is not None and self._process.stdin is not None
        try:
            left = left[os.write(self._process.stdin.fileno(), left[:_PIECE]) :]
        except BlockingIOError:
            return left
        except BrokenPipeError:
            left = left[:0]
        if not left:
            selector.unregister(self._process.stdin)
        return left

    def _heard(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        piece = _read(key.fd)
        if piece == b"":
            selector.unregister(key.fileobj)
        elif key.fd == self._answers:
            self._buffer += piece or b""
        else:
            self._note(piece or b"")

    def _drained(self) -> bool:
        """Return whether a dead process left a whole answer: what it wrote last may not have been read."""
        while piece := _read(self._answers):
            self._buffer += piece
        return len(self._buffer) > 0 and taken(bytearray(self._buffer), self._largest + _MARGIN) is not None

    def _note(self, piece: bytes) -> None:
        self._log += piece
        del self._log[: max(0, len(self._log) - KEPT_LOG)]

    def _printed(self) -> str:
        process = self._process
        if process is not None and process.stdout is not None:
            # What was printed before the answer is in the pipe by now; a child that goes on printing is not waited for.
            for _ in range(KEPT_LOG // _PIECE + 16):
                piece = _read(process.stdout.fileno())
                if not piece:
                    break
                self._note(piece)
        return self._log.decode(errors="replace").replace("\0", "")

    def _ending(self) -> str:
        if self._process is None:
            return "it is gone"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        code = self._process.returncode
        self._printed()
        if code is None:
            return "it closed its answers"
        if -code in set(signal.Signals):
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"


def _read(descriptor: int) -> bytes | None:
    """Return what is there, empty at the end, None when nothing is there yet."""
    try:
        return os.read(descriptor, _PIECE)
    except BlockingIOError:
        return None
