"""A script as a function: run in a box of its own for each call, with the contract that OSCAR's scripts know.

The contract is that of `faas-supervisor` (grycap, 2.x): the input lies in `INPUT_FILE_PATH`; files left in
`TMP_OUTPUT_DIR` are the result (one as it is, several as a ZIP archive), without any it is what the script printed.
"""

from __future__ import annotations

import io
import json
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from gemel.base.errors import GemelError
from gemel.base.sizes import spoken_size
from gemel.core.stream.functions._outcome import KEPT_LOG, Asked, Outcome, failed
from gemel.core.stream.functions._spec import FunctionSpec
from gemel.infra.compute import INSIDE, Box, Ended, Limits, run_confined

_MEMORY = 2_000_000_000  # bytes of each process of a script that declares none
_WRITTEN = 1_000_000_000
_MOST_FILES = 10_000
# Its own shell writes what it prints to a file, of which more is kept than of a pipe.
_RUN = 'chmod +x script; if [ "$(head -c 2 script)" = "#!" ]; then exec ./script; else exec /bin/sh script; fi'
_COMMAND = ("/bin/sh", "-c", f"{{ {_RUN}; }} >printed")


class ScriptInstance:
    """Runs a script once for each call; nothing is kept warm.

    Args:
        spec: The function.
        largest: Bytes that a result may have.
    """

    pid = None

    def __init__(self, spec: FunctionSpec, largest: int) -> None:
        self._spec, self._largest = spec, largest

    def warm(self, stopped: Callable[[], bool]) -> None:
        """Return at once: there is nothing to get ready."""

    def close(self) -> None:
        """Return at once: nothing outlives its call."""

    def run(self, asked: Asked, stopped: Callable[[], bool]) -> Outcome:
        """Return how a call ended.

        Raises:
            Stopped: `stopped` became true.
        """
        with tempfile.TemporaryDirectory(prefix="gemel-function-") as name:
            folder = Path(name)
            self._lay(folder, asked)
            try:
                ended = run_confined(_COMMAND, self._box(folder, asked), stopped=stopped)
            except GemelError as error:
                return failed(error.message, error.code, hint=error.hint)
            return self._outcome(folder, ended)

    def _lay(self, folder: Path, asked: Asked) -> None:
        for place in ("input", "output"):
            (folder / place).mkdir()
        (folder / "input" / "input").write_bytes(asked.data)
        (folder / "script").write_text((self._spec.script or "").replace("\r\n", "\n"), encoding="utf-8")

    def _box(self, folder: Path, asked: Asked) -> Box:
        spec = self._spec
        limits = Limits(seconds=spec.timeout, memory=spec.memory or _MEMORY, written=_WRITTEN, processes=True)
        told = {
            "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
            "INPUT_FILE_PATH": str(INSIDE / "input" / "input"),
            "TMP_INPUT_DIR": str(INSIDE / "input"),
            "TMP_OUTPUT_DIR": str(INSIDE / "output"),
            "JOB_UUID": asked.id,
        }
        key = object_key(asked.data)
        told |= {} if key is None else {"STORAGE_OBJECT_KEY": key}
        # The Python of the engine, with its packages, may be used; where it is the system's it is there already.
        readable = sorted({Path(sys.prefix), Path(sys.base_prefix)} - {Path("/usr")})
        return Box(folder, readable, limits, environment=told | dict(spec.environment))

    def _outcome(self, folder: Path, ended: Ended) -> Outcome:
        left = _files(folder / "output")
        printed = _plain(folder / "printed", self._largest + 1)
        log = (_tail(printed) + ended.errors)[-KEPT_LOG:].replace("\0", "")
        if ended.exceeded == "time":
            return failed(f"It took longer than its limit of {self._spec.timeout:g} s.", "function.timeout", log=log)
        if ended.exceeded is not None:
            return failed(f"It was stopped: too much {ended.exceeded}.", "function.limit", log=log)
        if ended.code != 0:
            last = ended.errors.strip().splitlines()[-1:]
            told = f": {last[0][:400]}" if last else ""
            return failed(f"The script ended with exit code {ended.code}{told}.", "function.failed", log=log)
        if left is None:
            return failed("The script left something in its output folder that is no plain file.", "function.failed")
        output = self._result(left, folder / "output") if left else printed
        if output is None or len(output) > self._largest:
            return failed(f"The result has more than {spoken_size(self._largest)}.", "function.too-large", log=log)
        return Outcome(output, None, log)

    def _result(self, files: list[Path], root: Path) -> bytes | None:
        if sum(path.stat().st_size for path in files) > self._largest:
            return None
        if len(files) == 1:
            return files[0].read_bytes()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(files):
                archive.writestr(str(path.relative_to(root)), path.read_bytes())
        return packed.getvalue()


def object_key(data: bytes) -> str | None:
    """Return the key of the object that an S3 event notification tells of, or None when the input is none.

    >>> object_key(b'{"Key": "b/a+1", "Records": [{"s3": {"object": {"key": "a+1"}}}]}'), object_key(b"text")
    ('a 1', None)
    """
    if not data.lstrip().startswith(b"{"):
        return None
    try:
        record: Any = json.loads(data)["Records"][0]
        key = record["s3"]["object"]["key"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return unquote_plus(key).replace("\0", "") if isinstance(key, str) else None


def _files(folder: Path) -> list[Path] | None:
    """Return the plain files below a folder, or None where there is anything else: a link would lead us elsewhere."""
    if folder.is_symlink() or not folder.is_dir():
        return None
    found = []
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            found.append(path)
        elif not stat.S_ISDIR(mode):
            return None
        if len(found) > _MOST_FILES:
            return None
    return found


def _plain(path: Path, most: int) -> bytes:
    if path.is_symlink() or not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(most)


def _tail(data: bytes) -> str:
    return data[-KEPT_LOG:].decode(errors="replace")
