"""Tools written in the Common Workflow Language as processes of a graph."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from gemel.base.errors import InvalidInput, not_found
from gemel.core.graph import File, current_context, decode, encode, process, surroundings
from gemel.infra.compute import Limits, run_cwl
from gemel.infra.lake import ContentStore

_log = logging.getLogger(__name__)


@process(id="run_cwl", categories=("cwl", "import"))
def run_cwl_tool(tool: File, inputs: dict[str, Any] | None = None, output: str | None = None) -> Any:
    """What a tool or workflow written in CWL (1.0 to 1.2) makes of its inputs.

    It runs confined: it sees its inputs and its own folder, and has no network unless it asks for it (`NetworkAccess`).

    Args:
        tool: The CWL document.
        inputs: Its inputs by name. A cube is handed over as a NetCDF file, a table as a CSV file; a file that lies in
            the lake or was given by its path is an object as CWL writes it: `{"class": "File", "path": …}`.
        output: Which of its outputs is the result; default its only one, or all of them by name.

    Raises:
        InvalidInput: The tool failed, or handed out a file that is not its own.
        NotFound: It has no such output.
    """
    with tempfile.TemporaryDirectory(prefix="gemel-cwl-") as name:
        folder = Path(name)
        given = {key: _given(value, folder / "in", key) for key, value in (inputs or {}).items()}
        place = surroundings().sandbox
        made = run_cwl(
            Path(tool),
            given,
            folder / "box",
            limits=Limits(seconds=place.seconds, memory=place.memory),
            required=place.required,
            stopped=current_context().cancelled.is_set,
        )
        _log.info("%s ran at level %s%s", Path(tool).name, made.level, ", with the network" if made.network else "")
        for line in made.log.splitlines()[:200]:
            _log.info("%s", line)
        return _taken(made.outputs, output)


def _given(value: Any, folder: Path, name: str) -> Any:
    if isinstance(value, (xr.DataArray, xr.Dataset)):
        return _file(encode(value).data, folder / f"{name}.nc")
    if isinstance(value, pd.DataFrame):
        return _file(value.to_csv(index=not isinstance(value.index, pd.RangeIndex)).encode(), folder / f"{name}.csv")
    if isinstance(value, Mapping) and value.get("class") in ("File", "Directory"):
        return _existing(value)
    if isinstance(value, Mapping):
        return {key: _given(item, folder, f"{name}-{key}") for key, item in value.items()}
    return [_given(item, folder, f"{name}-{i}") for i, item in enumerate(value)] if isinstance(value, list) else value


def _file(data: bytes, path: Path) -> dict[str, str]:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return {"class": "File", "path": str(path)}


def _existing(value: Mapping[str, Any]) -> dict[str, Any]:
    digest = value.get("gemel:digest")
    if digest is None:
        return dict(value)
    stored = ContentStore(surroundings().lake() / "results").verify(str(digest))
    return {"class": "File", "path": str(stored), "basename": value.get("basename", stored.name)}


def _taken(outputs: dict[str, Any], wanted: str | None) -> Any:
    if wanted is not None and wanted not in outputs:
        raise not_found("output of the tool", wanted, outputs)
    if wanted is None and len(outputs) != 1:
        return {name: _kept(value) for name, value in outputs.items()}
    return _value(outputs[wanted] if wanted is not None else next(iter(outputs.values())))


def _value(output: Any) -> Any:
    """Return an output as a value: files that gemel can read become cubes, tables or plain values."""
    if not (isinstance(output, dict) and output.get("class") == "File"):
        return _kept(output)
    path = Path(output["path"])
    reader = _READERS.get(path.suffix)
    if reader is None:
        return _kept(output)
    try:
        return reader(path)
    except (ValueError, OSError, KeyError, RecursionError) as error:
        message = f"The tool's output '{path.name}' cannot be read as what its name says: {str(error).splitlines()[0]}"
        raise InvalidInput(message, hint="Is the file complete? Another ending keeps it as it is.") from error


_READERS: Mapping[str, Callable[[Path], Any]] = {
    ".nc": lambda path: decode("netcdf", path.read_bytes()),
    ".csv": pd.read_csv,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".txt": lambda path: path.read_text(encoding="utf-8"),
}


def _kept(output: Any) -> Any:
    """Return an output with its files moved into the lake, by digest."""
    if isinstance(output, list):
        return [_kept(item) for item in output]
    if not isinstance(output, dict):
        return output
    if output.get("class") == "Directory":
        raise InvalidInput("An output that is a folder cannot travel between processes.", hint="Pack it into one file.")
    if output.get("class") != "File":
        return {name: _kept(item) for name, item in output.items()}
    store = ContentStore(surroundings().lake() / "results")
    with store.staged() as staging:
        shutil.copyfile(output["path"], staging)
        digest = store.put_file(staging)
    return {"class": "File", "basename": output["basename"], "size": output["size"], "gemel:digest": digest}
