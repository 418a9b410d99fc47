"""What runs inside the box: loads the person's code, hands it a labelled array, writes what it returns.

It is started as a file, by its path, in a Python of its own where gemel is not to be found.
"""

from __future__ import annotations

import inspect
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

_FUNCTIONS = ("apply_datacube", "apply_timeseries", "udf")
_CODE = "<udf>"


def main(folder: Path) -> int:
    """Return 0 after running the code in `folder` on the data there, else 1 with `error.json` telling why."""
    request = json.loads((folder / "request.json").read_text())
    try:
        function = _function(request["code"])
        data = read_array(folder / "in") if request["array"] else request["value"]
        _answer(folder / "out", _called(function, data, request))
    except BaseException as error:
        told = {"type": type(error).__name__, "message": str(error), "where": _where(error)}
        (folder / "error.json").write_text(json.dumps(told))
        return 1
    return 0


def read_array(folder: Path) -> xr.DataArray:
    """Return the labelled array in `folder`."""
    about = json.loads((folder / "array.json").read_text())
    coordinates = {
        name: (dims, _loaded(folder / f"{number}.npy"), attrs)
        for number, (name, dims, attrs) in enumerate(about["coordinates"])
    }
    values = _loaded(folder / "values.npy")
    return xr.DataArray(values, coordinates, about["dims"], about["name"], about["attrs"])


def _loaded(path: Path) -> np.ndarray[Any, Any]:
    # Mapping compares the size that is declared with that of the file; nothing is allocated for a lie.
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.array(mapped)


def write_array(folder: Path, array: xr.DataArray) -> None:
    """Write a labelled array of numbers, instants or texts into `folder`; coordinates of other objects are left out."""
    folder.mkdir()
    np.save(folder / "values.npy", _plain(array.values), allow_pickle=False)
    coordinates: list[tuple[str, list[str], dict[str, Any]]] = []
    for name, coordinate in array.coords.items():
        values = _plain(coordinate.values)
        if values.dtype != object:
            np.save(folder / f"{len(coordinates)}.npy", values, allow_pickle=False)
            coordinates.append((str(name), list(map(str, coordinate.dims)), _json(coordinate.attrs)))
    about = {"dims": list(map(str, array.dims)), "name": array.name, "attrs": _json(array.attrs)}
    (folder / "array.json").write_text(json.dumps(about | {"coordinates": coordinates}))


def _plain(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if values.dtype == object and all(isinstance(item, str) for item in values.ravel()):
        return values.astype(str)
    if values.dtype == object and all(item is None or isinstance(item, (bool, int, float)) for item in values.ravel()):
        return np.array([np.nan if item is None else item for item in values.ravel()], float).reshape(values.shape)
    return values


def _json(attributes: Any) -> dict[str, Any]:
    return {str(name): value for name, value in attributes.items() if isinstance(value, (str, int, float, list))}


def _function(code: str) -> Any:
    space: dict[str, Any] = {"__name__": "udf"}
    exec(compile(code, _CODE, "exec"), space)
    for name in _FUNCTIONS:
        if callable(space.get(name)):
            return space[name]
    raise LookupError(f"The code defines none of the functions {', '.join(_FUNCTIONS)}.")


def _called(function: Any, data: Any, request: dict[str, Any]) -> Any:
    parameters = list(inspect.signature(function).parameters.values())
    more = {"context": request["context"]} if any(item.name == "context" for item in parameters) else {}
    if function.__name__ == "apply_timeseries" and isinstance(data, xr.DataArray):
        return _series_by_series(function, data, request["dimension"], more)
    if parameters and "DataCube" in str(parameters[0].annotation):
        # Code written against the openEO client's own wrapper of labelled arrays.
        data = __import__("openeo.udf", fromlist=["XarrayDataCube"]).XarrayDataCube(data)
    result = function(data, **more)
    return result.get_array() if hasattr(result, "get_array") else result


def _series_by_series(function: Any, data: xr.DataArray, dimension: str | None, more: dict[str, Any]) -> Any:
    axis = dimension or next(str(name) for name in data.dims if data[name].dtype.kind == "M")
    others = [name for name in data.dims if name != axis]
    stacked = data.stack(cell=others).transpose("cell", axis) if others else data.expand_dims("cell")
    labels = pd.Index(data[axis].values)
    columns = [np.asarray(function(pd.Series(row, labels), **more)) for row in stacked.values]
    if columns and columns[0].ndim == 0:
        values = xr.DataArray(np.array(columns), {"cell": stacked["cell"]} if others else None, ("cell",))
        return values.unstack("cell").transpose(*others) if others else values.isel(cell=0)
    made = stacked.copy(data=np.stack(columns)) if columns[0].size == labels.size else None
    if made is None:
        coordinates = {"cell": stacked["cell"]} if others else None
        made = xr.DataArray(np.stack(columns), coordinates, ("cell", axis))
    return made.unstack("cell").transpose(*data.dims) if others else made.isel(cell=0)


def _answer(folder: Path, result: Any) -> None:
    if isinstance(result, pd.Series):
        result = result.to_numpy()
    if isinstance(result, np.ndarray) and result.ndim:
        result = result.tolist() if result.ndim == 1 else xr.DataArray(result)
    if isinstance(result, xr.DataArray):
        write_array(folder, result)
        return
    folder.mkdir()
    plain = result.item() if isinstance(result, (np.generic, np.ndarray)) else result
    (folder / "value.json").write_text(json.dumps(plain))


def _where(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _CODE]
    return f"line {frames[-1].lineno}, in {frames[-1].name}" if frames else ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
