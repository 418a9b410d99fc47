"""The user's own code in a graph, run where it can do no harm (openEO process specification, group `udf`)."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import xarray as xr

from gemel.base.errors import Denied, InvalidInput, NotFound, ProcessRefused, StoreUnavailable
from gemel.base.sizes import spoken_size
from gemel.core.cubes import Along
from gemel.core.graph import current_context, surroundings
from gemel.core.processes import _udf_worker as worker
from gemel.core.processes._standard import standard
from gemel.infra.compute import INSIDE, Box, Ended, Limits, confinement, run_confined
from gemel.infra.lake.web import Web

_log = logging.getLogger(__name__)
_VERSION = ".".join(map(str, sys.version_info[:2]))
_LIBRARIES = ("numpy", "pandas", "scipy", "xarray", "numba", "scikit-learn")
_CODE_BYTES = 1_000_000
# What reading a spoiled note or array may raise.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, MemoryError, RecursionError)
_FETCH_SECONDS = 20.0
_MORE_MEMORY = "Give the code less at a time, or raise the limit: --set sandbox.memory='8 GB'"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def runtimes() -> dict[str, Any]:
    """Return the runtimes as openEO's `GET /udf_runtimes` lists them."""
    libraries = {name: {"version": importlib.metadata.version(name)} for name in _LIBRARIES}
    held = "no network, no files, no further processes" if confinement() == "bubblewrap" else "refused on this machine"
    return {
        "Python": {
            "title": "Python",
            "description": f"A function apply_datacube(cube, context) on an xarray.DataArray; confined: {held}.",
            "type": "language",
            "default": _VERSION,
            "versions": {_VERSION: {"libraries": libraries}},
        }
    }


@standard(on="arrays", wider=("udf", "context"))
def run_udf(data: Any, udf: str, runtime: str, version: str | None = None, context: Any = None) -> Any:
    """What the given code makes of the data.

    The code defines `apply_datacube(cube, context)`, whose cube is an `xarray.DataArray` with named dimensions and labels
    (in a reducer, `cube.attrs["dimension"]` names the one to reduce), or `apply_timeseries(series, context)`, called with
    each pandas series along the dimension. It is run in a box: no network, no file but its own, no further processes,
    limited time, memory and output.

    Args:
        data: An array with labels, the values of many cells at once, or a plain value.
        udf: Source code, the path of an uploaded file, or an https address.
        runtime: `Python`.
        version: Version of the runtime, such as `3.11`; default the only one there is.
        context: Anything that JSON can say, handed to the function.

    Raises:
        ProcessRefused: `InvalidRuntime`, `InvalidVersion`, `FileNotFound`; or the code failed or broke a limit.
        Unconfined: Nothing on this machine can confine foreign code.
    """
    if runtime.lower() != "python":
        raise ProcessRefused(f"There is no runtime '{runtime}'; there is: Python.", exception="InvalidRuntime")
    if version not in (None, _VERSION) and not str(version).startswith(f"{_VERSION}."):
        message = f"Version {version} of Python is not offered; there is: {_VERSION}."
        raise ProcessRefused(message, exception="InvalidVersion")
    code = _code(udf)
    array = data.data if isinstance(data, Along) else data
    dimension = data.dim if isinstance(data, Along) else None
    with tempfile.TemporaryDirectory(prefix="gemel-udf-") as name:
        folder = Path(name)
        _ask(folder, array, {"code": code, "context": context or {}, "dimension": dimension})
        ended = run_confined(_command(), _box(folder), stopped=current_context().cancelled.is_set)
        _tell(ended)
        _require_success(folder, ended)
        result = _result(folder)
        if result is None and isinstance(array, xr.DataArray):
            raise _failed("The code returned nothing.", hint="End the function with: return cube")
        return _shaped(result, data)


def _command() -> list[str]:
    return [sys.executable, "-I", "-W", "ignore", worker.__file__, str(INSIDE)]


def _box(folder: Path) -> Box:
    place = surroundings().sandbox
    limits = Limits(seconds=place.seconds, memory=place.memory)
    # The environment's packages and the standard library; where the two are one folder it is bound once.
    prefixes = {Path(sys.prefix), Path(sys.base_prefix)} - {Path("/usr")}
    readable = [*sorted(prefixes), Path(worker.__file__)]
    return Box(folder, readable, limits, environment=_ONE_THREAD, required=place.required)


def _ask(folder: Path, data: Any, request: Mapping[str, Any]) -> None:
    is_array = isinstance(data, xr.DataArray)
    if is_array:
        noted = data.assign_attrs(dimension=request["dimension"]) if request["dimension"] else data
        try:
            worker.write_array(folder / "in", noted)
        except ValueError as error:
            raise _failed("The cube's values are neither numbers nor texts nor times.") from error
    document = dict(request) | {"array": is_array, "value": None if is_array else data}
    try:
        (folder / "request.json").write_text(json.dumps(document, default=_number))
    except TypeError as error:
        message = f"A {type(data).__name__} cannot be handed to the code; cubes, numbers, texts and lists can."
        raise ProcessRefused(message, exception="UdfFailed") from error


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(value)


def _tell(ended: Ended) -> None:
    for text, level in ((ended.output, logging.INFO), (ended.errors, logging.WARNING)):
        for line in text.splitlines()[:200]:
            _log.log(level, "udf: %s", line)
    if ended.level != "bubblewrap":
        _log.warning("udf: run with limits on time and memory only; bubblewrap is missing")


def _require_success(folder: Path, ended: Ended) -> None:
    limits = surroundings().sandbox
    exceeded = {
        "time": f"It took longer than {limits.seconds:g} s.",
        "output": "It printed more than 8 MB.",
        "disk": "It wrote more than 4 GB.",
    }
    if ended.exceeded:
        raise ProcessRefused(f"The code was stopped. {exceeded[ended.exceeded]}", exception="UdfLimit")
    # The code could write to its folder as it liked: a link or a pipe there would lead the engine elsewhere.
    left = list(folder.rglob("*"))
    if not all(_is_plain(path) for path in left):
        raise _failed("The code left something in its folder that is no plain file.")
    if sum(path.stat().st_size for path in left) > limits.memory:
        message = f"The code left more than the {spoken_size(limits.memory)} of memory that it may use."
        raise ProcessRefused(message, exception="UdfLimit", hint=_MORE_MEMORY)
    if (folder / "error.json").exists():
        raise _told(folder / "error.json")
    if ended.code != 0 or not (folder / "out").is_dir():
        last = ended.errors.strip().splitlines()[-1:] or [_how(ended.code)]
        raise _failed(f"The code did not end well: {last[0]}.")


def _is_plain(path: Path) -> bool:
    return not path.is_symlink() and (path.is_file() or path.is_dir())


def _how(code: int) -> str:
    number = -code if code < 0 else code - 128
    if number in set(signal.Signals):
        return f"it was killed by {signal.Signals(number).name}"
    return "it stopped before it returned" if code == 0 else f"exit code {code}"


def _told(path: Path) -> ProcessRefused:
    """Return the error that the code ran into, as it was noted in the box."""
    try:
        told = {name: str(text)[:1000] for name, text in json.loads(path.read_text()).items()}
        where = f" ({told['where']})" if told["where"] else ""
        message = f"{told['type']}: {told['message']}" if told["message"] else told["type"]
    except _UNREADABLE:
        return _failed("The code did not end well, and spoiled the note of what went wrong.")
    hint = _MORE_MEMORY if told["type"] == "MemoryError" else None
    return _failed(f"The code failed{where}: {message}", hint=hint)


def _failed(message: str, hint: str | None = None) -> ProcessRefused:
    return ProcessRefused(message, exception="UdfFailed", hint=hint)


def _result(folder: Path) -> Any:
    path = folder / "out" / "value.json"
    try:
        return json.loads(path.read_text()) if path.exists() else worker.read_array(folder / "out")
    except _UNREADABLE as error:
        raise _failed("What the code left as its result cannot be read.") from error


def _shaped(result: Any, data: Any) -> Any:
    """Return the result as what the process around it expects of cells or arrays."""
    if not isinstance(result, xr.DataArray):
        return result
    if isinstance(data, Along):
        result.attrs.pop("dimension", None)
        if data.dim in result.dims and result.sizes[data.dim] > 1:
            return Along(result.transpose(*data.data.dims), data.dim)
        return result.isel({data.dim: 0}, drop=True) if data.dim in result.dims else result
    if not isinstance(data, xr.DataArray):
        return result
    same = set(result.dims) == set(data.dims)
    return _labelled(result.transpose(*data.dims) if same else result, data)


def _labelled(result: xr.DataArray, data: xr.DataArray) -> xr.DataArray:
    """Return the result with labels that could not travel into the box: geometries, and times of other calendars."""
    for name in result.dims:
        if name in data.coords and name not in result.coords and result.sizes[name] == data.sizes[name]:
            indexes = {name: data.xindexes[name]} if name in data.xindexes else {}
            result = result.assign_coords(xr.Coordinates({name: data.coords[name].variable}, indexes))
    return result


def _code(udf: str) -> str:
    if "\n" in udf or "\r" in udf:
        return udf
    kind = urlsplit(udf).scheme
    if kind in ("http", "https"):
        return _fetched(udf)
    files = surroundings().files
    path = (files / udf.lstrip("/")).resolve() if files else None
    if files is None or path is None or not path.is_relative_to(files.resolve()) or not path.is_file():
        raise ProcessRefused(f"There is no uploaded file '{udf}'.", exception="FileNotFound")
    return path.read_text(encoding="utf-8")


def _fetched(address: str) -> str:
    try:
        with Web(_FETCH_SECONDS) as web, web.stream("GET", address) as answer:
            return b"".join(web.pieces(answer, _CODE_BYTES)).decode(errors="replace")
    except (NotFound, Denied, InvalidInput, StoreUnavailable) as error:
        message = f"The code at {address} cannot be fetched: {error.message}"
        raise ProcessRefused(message, exception="FileNotFound", hint=error.hint) from error
