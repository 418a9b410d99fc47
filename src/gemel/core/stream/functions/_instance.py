"""An instance of a function: a process that makes what it runs once, then answers one call after another."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cloudpickle

from gemel.base.errors import GemelError, InvalidInput
from gemel.base.sizes import spoken_size
from gemel.core.stream.functions._binding import Runnable, arguments_of, output_of
from gemel.core.stream.functions._frames import CALL, FAILED, HEADER, READY, RESULT, frame

Setup = Mapping[str, Any]


class _Refused(Exception):
    """The call, or what it brings, is wrong in a way that no further attempt mends."""


def main(descriptor: int) -> None:
    """Answer calls from standard input in frames on the given descriptor, until the engine goes."""
    requests = os.dup(0)
    with Path(os.devnull).open("rb") as nothing:  # what reads standard input must not take our calls
        os.dup2(nothing.fileno(), 0)
    stream = os.fdopen(requests, "rb")
    _, content = _read(stream)
    sys.path[:], payload = cloudpickle.loads(content)
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(stream, calls), daemon=True).start()
    try:
        answer = _prepared(cloudpickle.loads(payload))
    except BaseException as error:
        _send(descriptor, FAILED, _told(error))
        return
    _send(descriptor, READY, b"")
    while True:
        _send(descriptor, *answer(calls.get()))


def _read(stream: Any) -> tuple[bytes, bytes]:
    head = stream.read(HEADER.size)
    if len(head) < HEADER.size:
        os.killpg(0, signal.SIGKILL)
    kind, length = HEADER.unpack(head)
    return kind, stream.read(length)


def _listen(stream: Any, calls: queue.SimpleQueue[bytes]) -> None:
    # The engine holds its end as long as it lives: a killed one must not leave its calls running beside the next.
    with contextlib.suppress(Exception):
        while True:
            kind, content = _read(stream)
            if kind == CALL:
                calls.put(content)
    os.killpg(0, signal.SIGKILL)


def _prepared(setup: Setup) -> Callable[[bytes], tuple[bytes, bytes]]:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if setup["memory"] is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (setup["memory"], setup["memory"]))
    runnable: Runnable = setup["runnable"]
    function = runnable.make()

    def answer(data: bytes) -> tuple[bytes, bytes]:
        try:
            try:
                arguments = arguments_of(data, setup["arguments"], runnable.parameters)
            except InvalidInput as error:
                raise _Refused from error
            output = output_of(function(**arguments))
            if len(output) > setup["largest"]:
                raise _Refused from InvalidInput(f"The result has more than {spoken_size(setup['largest'])}.")
            return RESULT, output
        except _Refused as refused:
            return FAILED, _told(refused.__cause__ or refused, permanent=True)
        except BaseException as error:
            traceback.print_exc()
            return FAILED, _told(error)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    return answer


def _told(error: BaseException, *, permanent: bool = False) -> bytes:
    if isinstance(error, GemelError):
        told: dict[str, Any] = {"message": error.message[:4000], "hint": error.hint, "code": error.code}
    else:
        told = {"message": f"{type(error).__name__}: {error}"[:4000], "hint": None, "code": type(error).__name__}
    return json.dumps(told | {"permanent": permanent}).encode()


def _send(descriptor: int, kind: bytes, content: bytes) -> None:
    view = memoryview(frame(kind, content))
    while view:
        view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    main(int(sys.argv[1]))
