"""Running one function in a process of its own, which can be killed at its time limit or on demand."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle

from gemel.infra.compute._channel import HEADER

_POLL_SECONDS = 0.2
_START_SECONDS = 120.0  # for starting Python and importing what the function needs, on a busy machine


class Stopped(Exception):
    """The caller asked for the process to be stopped."""


def run_isolated(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    timeout: float,
    stopped: Callable[[], bool] = lambda: False,
    hear: Callable[[str, tuple[Any, ...]], None] = lambda _kind, _content: None,
) -> Any:
    """Return `function(**arguments)` computed in a new process, which is killed when it takes too long.

    Args:
        function: Any function; one that is not importable travels by value.
        arguments: Its arguments.
        timeout: Seconds the function may take, once the process has started and imported it.
        stopped: Asked a few times a second; when true the process is killed.
        hear: Called with the kind and content of each frame that the function sends (see `tell_engine`).

    Raises:
        TimeoutError: The limit passed.
        Stopped: `stopped` became true.
        RuntimeError: The process died (a crash in native code, or killed for memory).
        Exception: Whatever the function raised.
    """
    # The new process must find the same modules before it can read what refers to them.
    payload = cloudpickle.dumps((sys.path, cloudpickle.dumps((function, dict(arguments)))))
    reader, writer = os.pipe()
    # A session of its own, so that killing it takes whatever it started along.
    worker = subprocess.Popen(
        [sys.executable, "-m", "gemel.infra.compute._worker", str(writer)],
        stdin=subprocess.PIPE,
        stdout=2,  # what a step prints must not mix with the answer of a command
        pass_fds=(writer,),
        start_new_session=True,
    )
    os.close(writer)
    assert worker.stdin is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.write(HEADER.pack(len(payload)) + payload)
            worker.stdin.flush()
        return _follow(worker, reader, timeout, (stopped, hear))
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        # The pipe stays open until here: its end is how the worker learns that the engine died.
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.close()
        worker.wait()


def _follow(
    worker: subprocess.Popen[bytes],
    reader: int,
    timeout: float,
    callbacks: tuple[Callable[[], bool], Callable[[str, tuple[Any, ...]], None]],
) -> Any:
    stopped, hear = callbacks
    buffer = bytearray()
    deadline = time.monotonic() + _START_SECONDS + timeout
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
                if kind == "error":
                    raise content[0]
                if kind == "result":
                    return content[0]
                if kind == "started":
                    deadline = time.monotonic() + timeout
                else:
                    hear(kind, content)


def _take(buffer: bytearray) -> bytes | None:
    if len(buffer) < HEADER.size:
        return None
    (length,) = HEADER.unpack_from(buffer)
    end = HEADER.size + length
    if len(buffer) < end:
        return None
    frame = bytes(buffer[HEADER.size : end])
    del buffer[:end]
    return frame
