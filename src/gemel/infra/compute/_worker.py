"""The other end of `run_isolated`: reads one call from standard input, answers in frames on the given descriptor."""

from __future__ import annotations

import os
import struct
import sys
from typing import Any

import cloudpickle


def _send(descriptor: int, kind: str, content: Any) -> None:
    frame = cloudpickle.dumps((kind, content))
    view = memoryview(struct.pack("<Q", len(frame)) + frame)
    while view:
        view = view[os.write(descriptor, view) :]


def main(descriptor: int) -> None:
    """Run the call waiting on standard input and send its result or its error."""
    try:
        function, arguments = cloudpickle.loads(sys.stdin.buffer.read())
        _send(descriptor, "result", function(**arguments))
    except Exception as error:
        try:
            _send(descriptor, "error", error)
        except Exception:
            # An exception that cannot travel is told in words.
            _send(descriptor, "error", RuntimeError(f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
