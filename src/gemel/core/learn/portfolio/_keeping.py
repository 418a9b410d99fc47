"""Fitted estimators as bytes: written by skops, the same bytes for the same estimator, read back by known types alone."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput

#: Types beyond skops' own list that estimators of the portfolio hold; none of them runs code of the file's choosing.
_KNOWN = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.tree._tree.Tree",
    }
)
_SCHEMA = "schema.json"
_THEN = (1980, 1, 1, 0, 0, 0)  # the earliest time that a ZIP archive can tell


def kept(estimators: list[Any]) -> NDArray[np.uint8]:
    """Return fitted estimators as bytes, (byte,): equal for equal estimators, whenever and wherever they are written."""
    return np.frombuffer(_canonical(skops.io.dumps(estimators)), dtype=np.uint8)


def read_kept(data: NDArray[Any], features: int) -> list[Any]:
    """Return the estimators that bytes hold.

    Args:
        data: What `kept` gave.
        features: How many numbers an estimator takes.

    Raises:
        InvalidInput: They are not bytes of estimators, hold types that are not known, or trees that lead outside.
    """
    content = np.ascontiguousarray(data, dtype=np.uint8).tobytes()
    try:
        foreign = set(skops.io.get_untrusted_types(data=content)) - _KNOWN
        found = skops.io.loads(content, trusted=sorted(_KNOWN)) if not foreign else None
    except Exception as error:
        # skops has no error of its own: a broken file raises whatever it runs into.
        raise InvalidInput(f"These bytes hold no estimators: {error}") from error
    if foreign:
        message = f"This model holds types that are not trusted: {', '.join(sorted(foreign))}."
        raise InvalidInput(message, hint="It was not made by this kind of model; do not load it.")
    if not isinstance(found, list) or not all(_sound(item, features) for item in found):
        raise InvalidInput("The estimators of this model are not sound: do not use it.")
    return found


def _canonical(content: bytes) -> bytes:
    """Return the archive without what differs from one writing to the next: memory addresses and the time."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read(_SCHEMA))
        files = {name: archive.read(name) for name in archive.namelist() if name != _SCHEMA}
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}
    for node in _nodes(schema):
        if "__id__" in node:
            # Plain values are written where they stand: whether two share an address is chance.
            key = -len(numbers) - 1 if node.get("is_json") else node["__id__"]
            node["__id__"] = numbers.setdefault(key, len(numbers) + 1)
        if "file" in node:
            node["file"] = names.setdefault(node["file"], f"{len(names)}.{node['file'].rpartition('.')[2]}")
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, _SCHEMA, json.dumps(schema).encode())
        for name, new in names.items():
            _add(archive, new, files[name])
    return target.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _THEN)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _sound(estimator: Any, features: int) -> bool:
    """Return whether all trees of an estimator stay within their nodes and inputs: compiled code walks them unchecked."""
    tables = [tree.__getstate__()["nodes"] for tree in _trees(estimator)]
    forests = getattr(estimator, "_predictors", [])
    tables += [tree.nodes for stage in forests for tree in stage]
    return all(_within(table, features) for table in tables)


def _trees(estimator: Any) -> list[Any]:
    members = list(np.ravel(np.asarray(getattr(estimator, "estimators_", []), dtype=object)))
    return [item.tree_ for item in (*members, estimator) if hasattr(item, "tree_")]


def _within(nodes: NDArray[Any], features: int) -> bool:
    names = nodes.dtype.names or ()
    if "is_categorical" in names and nodes["is_categorical"].any():
        return False
    left, right = ("left_child", "right_child") if "left_child" in names else ("left", "right")
    feature = "feature" if "feature" in names else "feature_idx"
    leaf = nodes["left_child"] == -1 if left == "left_child" else nodes["is_leaf"].astype(bool)
    inner, count, own = nodes[~leaf], len(nodes), np.flatnonzero(~leaf)
    forward = (inner[left].astype(np.int64) > own) & (inner[right].astype(np.int64) > own)
    inside = (inner[left].astype(np.int64) < count) & (inner[right].astype(np.int64) < count)
    known = (inner[feature].astype(np.int64) >= 0) & (inner[feature].astype(np.int64) < features)
    # Children lie behind their parent in every tree that scikit-learn grows; so no walk can go round in circles.
    return bool(count > 0 and (forward & inside & known).all())
