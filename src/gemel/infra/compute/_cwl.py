"""Running tools and workflows written in the Common Workflow Language 1.0 to 1.2, confined, through cwltool."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gemel.base.errors import InvalidInput, MissingExtra, NotFound, StepTimeout
from gemel.base.plugins import require
from gemel.infra.compute._confined import INSIDE, Box, Ended, Limits, run_confined

_FILES = ("File", "Directory")
_OPEN_FILES = 4096
_WORKER = Path(__file__).with_name("_cwl_worker.py")
_PLACES: tuple[str, ...] = ("--outdir", str(INSIDE / "made"), "--tmp-outdir-prefix", str(INSIDE / "tmp" / "out-"))
_PLACES += ("--tmpdir-prefix", str(INSIDE / "tmp" / "tmp-"))
_QUIET = ("--quiet", "--no-container", "--no-doc-cache", "--disable-pull", "--disable-color")


@dataclass(frozen=True)
class CwlResult:
    """What a tool gave.

    Attributes:
        outputs: The CWL output object; `path` of each file and folder lies in the folder that was given.
        log: What the tool and cwltool printed on standard error.
        network: Whether the tool asked for the network, and got it.
        level: What confined it.
    """

    outputs: dict[str, Any]
    log: str
    network: bool
    level: str


def run_cwl(
    tool: Path,
    inputs: Mapping[str, Any],
    folder: Path,
    *,
    limits: Limits | None = None,
    required: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> CwlResult:
    """Return what the tool or workflow makes of `inputs`.

    Args:
        tool: The CWL document; what it refers to lies in its folder or below.
        inputs: The input object; paths of files are absolute.
        folder: An empty folder that the tool works in, and where its outputs are afterwards.
        limits: What it may use.
        required: Refuse to run where bubblewrap is missing.
        stopped: Asked a few times a second; when true the tool is killed.

    Raises:
        MissingExtra: cwltool is not installed.
        InvalidInput: The document or the inputs are wrong, the tool failed, or it handed out a file that is not its own.
        StepTimeout: It ran into its time limit.
        Unconfined: Nothing here can confine it.
    """
    require_cwltool()
    allowed = replace(limits or Limits(), processes=True, files=_OPEN_FILES)
    readable = [*_installation(), tool.parent.resolve()]
    box = Box(folder, readable, allowed, environment={"TMPDIR": str(INSIDE / "tmp")}, required=required)
    for name in ("tmp", "made"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    document = _alone(tool) or _packed(tool.resolve(), box, stopped)
    (folder / "job.json").write_text(json.dumps(inputs))
    # A tool has the network only when its author asked for it where everyone can read it.
    network = _asks_for_network(document)
    given = _named_files(inputs)
    box = replace(box, network=network, readable=[*readable, *given])
    documents = [str(tool.resolve()), str(INSIDE / "job.json")]
    ended = run_confined([*_cwltool(given), *_PLACES, *documents], box, stopped=stopped)
    _require_success(tool, ended, allowed)
    return CwlResult(_outside(_object(tool, ended), folder), ended.errors, network, ended.level)


def _object(tool: Path, ended: Ended) -> dict[str, Any]:
    try:
        return dict(json.loads(ended.output))
    except (ValueError, TypeError, RecursionError) as error:
        hint = "What it prints is limited to 64 kB: hand out files."
        raise InvalidInput(f"The outputs of '{tool.name}' cannot be read.", hint=hint) from error


def _cwltool(inputs: Sequence[Path] = ()) -> list[str]:
    return [sys.executable, "-I", str(_WORKER), json.dumps([str(path) for path in inputs]), *_QUIET]


def _installation() -> list[Path]:
    return [*sorted({Path(sys.prefix), Path(sys.base_prefix)} - {Path("/usr")}), _WORKER]


def require_cwltool() -> None:
    """Return when cwltool is installed; it is not imported here.

    Raises:
        MissingExtra: It is not.
    """
    if importlib.util.find_spec("cwltool") is None:
        raise MissingExtra("This needs the package 'cwltool', which is not installed.", hint="pip install 'gemel[cwl]'")


def _alone(tool: Path) -> dict[str, Any] | None:
    """Return a single tool's document that refers to no other; None for one that cwltool has to put together."""
    document = read_yaml(tool)
    single = isinstance(document, dict) and document.get("class") in ("CommandLineTool", "ExpressionTool")
    return document if single and not _refers(document) else None


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML 1.2 (or JSON) document.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is not YAML.
        MissingExtra: The reader, which comes with cwltool, is not installed.
    """
    ruamel = require("ruamel.yaml", extra="cwl")
    try:
        return ruamel.YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"There is no file '{path}'.") from error
    except (OSError, UnicodeDecodeError, ruamel.error.YAMLError) as error:
        where = str(error).strip().splitlines()[-1].strip()
        raise InvalidInput(f"The document '{path.name}' cannot be read: {where}.") from error


def _refers(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(str(key).startswith("$") or _refers(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_refers, value))


def _packed(tool: Path, box: Box, stopped: Callable[[], bool]) -> dict[str, Any]:
    ended = run_confined([*_cwltool(), "--pack", str(tool)], box, stopped=stopped)
    _require_success(tool, ended, box.limits)
    try:
        return dict(json.loads(ended.output))
    except ValueError as error:
        raise InvalidInput(f"The CWL document '{tool.name}' cannot be read.", hint=_last(ended)) from error


def _require_success(tool: Path, ended: Ended, limits: Limits) -> None:
    if ended.exceeded == "time":
        raise StepTimeout(f"The tool '{tool.name}' took longer than its limit of {limits.seconds:g} s.")
    if ended.exceeded:
        raise InvalidInput(f"The tool '{tool.name}' was stopped: too much {ended.exceeded}.")
    if ended.code != 0:
        raise InvalidInput(f"The CWL tool '{tool.name}' failed: {_last(ended)}", log=ended.errors[-2000:])


def _last(ended: Ended) -> str:
    lines = [line.strip() for line in (ended.errors or ended.output).splitlines()]
    noise = ("WARNING", "INFO", "{", "}", '"', "in {")
    telling = [line for line in lines if line and not line.startswith(noise) and not line.endswith("{")]
    return telling[-1] if telling else f"exit code {ended.code}"


def _asks_for_network(document: Any) -> bool:
    if isinstance(document, Mapping):
        # Requirements are a list of objects with a class, or an object with one member for each class.
        named = document.get("NetworkAccess")
        wanted = document if document.get("class") == "NetworkAccess" else named if isinstance(named, Mapping) else {}
        asked = wanted.get("networkAccess") not in (False, None)
        return asked or any(_asks_for_network(item) for item in document.values())
    return isinstance(document, list) and any(_asks_for_network(item) for item in document)


def _named_files(value: Any) -> list[Path]:
    """Return the paths of all files and folders in an input object, their secondary files included."""
    found = []
    for item in _file_objects(value):
        place = item.get("path") or _local(str(item.get("location", "")))
        if place:
            path = Path(place)
            if not path.exists():
                raise InvalidInput(f"The input file '{place}' is not there.")
            found.append(path)
    return found


def _file_objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("class") in _FILES:
            yield value
        for item in value.values():
            yield from _file_objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _file_objects(item)


def _local(location: str) -> str | None:
    parts = urlsplit(location)
    return unquote(parts.path) if parts.scheme in ("", "file") and parts.path else None


def _outside(outputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the output object with the places of its files as they are outside of the box."""
    for item in _file_objects(outputs):
        told = str(item.get("location") or item.get("path") or "")
        place = _local(told) or told
        path = folder / os.path.relpath(place, INSIDE) if place.startswith(f"{INSIDE}/") else Path(place)
        # What tells of its outputs ran beside the tool, so its word is not enough.
        if not path.resolve().is_relative_to(folder.resolve()) or not path.exists():
            raise InvalidInput(f"The tool handed out '{told[:200]}', which is no file of its own.")
        item.update(path=str(path), location=path.as_uri())
    return outputs
