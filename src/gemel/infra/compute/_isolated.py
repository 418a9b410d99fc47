"""Running one function in a process of its own, which can be killed at its time limit or on demand."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle

_HEADER = struct.Struct("<Q")
_POLL_SECONDS = 0.2


class Stopped(Exception):
    """The caller asked for the process to be stopped."""


def run_isolated(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    timeout: float,
    stopped: Callable[[], bool] = lambda: False,
    tell: Callable[[float, str], None] = lambda _fraction, _message: None,
) -> Any:
    """Return `function(**arguments)` computed in a new process, which is killed when it takes too long.

    Args:
        function: Any function; one that is not importable travels by value.
        arguments: Its arguments.
        timeout: Seconds the process may take, start-up included.
        stopped: Asked a few times a second; when true the process is killed.
        tell: Called with (fraction, message) that the function reports.

    Raises:
        TimeoutError: The limit passed.
        Stopped: `stopped` became true.
        RuntimeError: The process died (a crash in native code, or killed for memory).
        Exception: Whatever the function raised.
    """
    payload = cloudpickle.dumps((function, dict(arguments)))
    reader, writer = os.pipe()
    # A session of its own, so that killing it takes whatever it started along.
    worker = subprocess.Popen(
        [sys.executable, "-m", "gemel.infra.compute._worker", str(writer)],
        stdin=subprocess.PIPE,
        pass_fds=(writer,),
        start_new_session=True,
    )
    os.close(writer)
    try:
        with contextlib.suppress(BrokenPipeError):
            assert worker.stdin is not None
            worker.stdin.write(payload)
            worker.stdin.close()
        return _follow(worker, reader, time.monotonic() + timeout, (stopped, tell))
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def _follow(
    worker: subprocess.Popen[bytes],
    reader: int,
    deadline: float,
    callbacks: tuple[Callable[[], bool], Callable[[float, str], None]],
) -> Any:
    stopped, tell = callbacks
    buffer = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        while True:
            if stopped():
                raise Stopped
            if time.monotonic() > deadline:
                raise TimeoutError
            if not selector.select(_POLL_SECONDS):
                continue
            piece = os.read(reader, 1 << 20)
            if not piece:
                raise RuntimeError(f"the process died with exit code {worker.wait()}")
            buffer += piece
            while (frame := _take(buffer)) is not None:
                kind, content = cloudpickle.loads(frame)
                if kind == "progress":
                    tell(*content)
                elif kind == "error":
                    raise content
                else:
                    return content


def _take(buffer: bytearray) -> bytes | None:
    if len(buffer) < _HEADER.size:
        return None
    (length,) = _HEADER.unpack_from(buffer)
    end = _HEADER.size + length
    if len(buffer) < end:
        return None
    frame = bytes(buffer[_HEADER.size : end])
    del buffer[:end]
    return frame
