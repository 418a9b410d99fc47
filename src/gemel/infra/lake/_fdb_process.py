"""FDB in a process of its own: its libraries bring a libcurl that GDAL, in the same process, would call into and crash.

Run as a module it answers calls on its standard input, on its standard output, until the input ends.
"""

from __future__ import annotations

import atexit
import importlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from gemel.base.errors import StoreUnavailable

_Keys = dict[str, str]


@dataclass(frozen=True)
class Field:
    """A field as the FDB lists it.

    Attributes:
        levels: Its keys, level by level of the schema.
        keys: All that have a value.
        size: In bytes.
        place: Address of the file that holds it.
        offset: Where in the file it begins, in bytes.
    """

    levels: tuple[_Keys, ...]
    keys: _Keys
    size: int
    place: str
    offset: int


class FdbProcess:
    """The process; it is started at the first call, and again when it has died. One call at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def listed(self, config: Any, keys: Mapping[str, str]) -> list[Field]:
        """Return the fields that have these keys.

        Raises:
            RuntimeError: The FDB refuses, for a reason that it tells.
            StoreUnavailable: The process ended.
        """
        return [Field(*row) for row in self._called("listed", config, dict(keys))]

    def whole(self, config: Any, keys: Mapping[str, str]) -> bytes:
        """Return the bytes of the field that has exactly these keys (see `listed`)."""
        return bytes(self._called("whole", config, dict(keys)))

    def archive(self, config: Any, keys: Mapping[str, str], content: bytes) -> None:
        """Archive a message under keys (see `listed`)."""
        self._called("archive", config, dict(keys), content)

    def _called(self, what: str, *arguments: Any) -> Any:
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                pickle.dump((what, arguments), process.stdin)
                process.stdin.flush()
                good, answer = pickle.load(process.stdout)
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                process.kill()
                raise StoreUnavailable("The process that serves the FDB ended.", hint="Try again.") from error
        if not good:
            raise RuntimeError(answer)
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            # What it refuses, it would print on the standard output as well.
            silent = {f"ECKIT_{item}_IS_SILENT": "1" for item in ("SERIOUS_BUG", "EXCEPTION", "ASSERT_FAILED")}
            command = [sys.executable, "-m", "gemel.infra.lake._fdb_process"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._process = subprocess.Popen(command, env={**os.environ, **silent}, **pipes)  # type: ignore[call-overload]
            assert self._process is not None
            atexit.register(_end, self._process)
        return self._process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _listed(fdb: Any, keys: _Keys) -> list[tuple[Any, ...]]:
    # As plain values: what this module's classes are called here, run as a program, is not what they are called there.
    return [_field(element) for element in fdb.list(keys)]


def _whole(fdb: Any, keys: _Keys) -> bytes:
    for element in fdb.list(keys):
        if _own(element) == keys:
            with element.data_handle as handle:
                return bytes(handle.read(-1))
    raise RuntimeError("there is no such field")


def _archive(fdb: Any, keys: _Keys, content: bytes) -> None:
    fdb.archive(content, keys)
    fdb.flush()


def _field(element: Any) -> tuple[Any, ...]:
    levels = tuple(dict(level) for level in element.keys())  # noqa: SIM118 - a list of dictionaries, one per level
    return levels, _own(element), int(element.length()), str(element.uri), int(element.offset())


def _own(element: Any) -> _Keys:
    return {key: value for key, value in element.combined_key().items() if value}


def _serve(source: BinaryIO, target: BinaryIO) -> None:
    library: Any = importlib.import_module("pyfdb")
    while True:
        try:
            what, (config, *arguments) = pickle.load(source)
        except EOFError:
            return
        try:
            # Opened anew each time: an older one does not see what came since.
            calls = {"listed": _listed, "whole": _whole, "archive": _archive}
            answer = True, calls[what](library.FDB(config=config), *arguments)  # type: ignore[operator]
        except RuntimeError as error:
            answer = False, str(error)
        pickle.dump(answer, target)
        target.flush()


if __name__ == "__main__":
    # Whatever the libraries print goes to the standard error; answers have a descriptor of their own.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _serve(sys.stdin.buffer, answers)
