"""All that people may ask of models and trainings, answered in JSON documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.clock import iso, parse_instant
from gemel.base.errors import InvalidInput, MissingExtra, NotFound, PluginBroken, did_you_mean, not_found
from gemel.base.ids import digest_bytes, new_id
from gemel.base.plugins import require
from gemel.core.engine._engine import Engine
from gemel.core.graph import Graph, encode
from gemel.core.learn.models import Description, kind, kinds
from gemel.core.learn.registry import ModelRegistry, Version, check_name, parse_reference
from gemel.core.learn.watching import Watched, steer, trainings
from gemel.core.stream import Event

Document = dict[str, Any]
EXPORTS = {
    "netcdf": "application/x-netcdf",
    "onnx": "application/octet-stream",
    "onnx-int8": "application/octet-stream",
}
_LEVELS = (0.05, 0.5, 0.95)


class ModelService:
    """The models of an engine, seen through documents (see `docs/reference/documents.md`)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._registry: ModelRegistry = engine.models
        self._folder = engine.settings.home / "trainings"

    # What there is

    def list(self) -> Sequence[Document]:
        """Return every model: how many versions, and which of them have an alias."""
        return [self._short(name) for name in self._registry.names()]

    def get(self, name: str) -> Document:
        """Return a model with all its versions, newest first, and its history.

        Raises:
            NotFound: There is no such model.
        """
        versions = [self._version(item) for item in self._registry.versions(name)]
        return self._short(name) | {"versions": versions, "history": self.history(name)}

    def version(self, reference: str) -> Document:
        """Return one version: its description, how it was trained, and the newest judgement on it.

        Raises:
            NotFound: No such model or version, or nobody has the alias.
        """
        found = self._registry.get(reference)
        judgement = self._registry.judged(found.name, found.number)
        told = {"description": found.document["description"], "record": found.document["record"]}
        return self._version(found) | told | {"judgement": judgement.document() if judgement else None}

    def history(self, name: str) -> Sequence[Document]:
        """Return which version had which alias from when to when, newest first."""
        return [item.document() for item in self._registry.history(name)]

    def at(self, name: str, instant: str) -> Document:
        """Return the version that was champion at an instant.

        Raises:
            NotFound: There was none.
        """
        found = self._registry.at(name, parse_instant(instant))
        if found is None:
            raise NotFound(f"Model '{name}' had no champion at {instant}.", hint=f"gemel model history {name}")
        return self._version(found)

    def kinds(self) -> Sequence[Document]:
        """Return every kind of model that can be trained here, with its card; one that cannot carries its problem."""
        return [_kind_document(name) for name in kinds()]

    # Changes

    def promote(self, name: str, version: int, why: str = "") -> Document:
        """Return the service of the new champion.

        Raises:
            CheckFailed: The version has no passing judgement.
        """
        return self._registry.promote(name, version, why).document()

    def rollback(self, name: str, why: str = "") -> Document:
        """Return the service of the champion before, which is in service again.

        Raises:
            Conflict: There was none.
        """
        return self._registry.rollback(name, why).document()

    def assign(self, name: str, alias: str, version: int | None, why: str = "") -> Document:
        """Return the model after `challenger` or `shadow` was given to a version, or (None) taken away."""
        self._registry.assign(name, alias, version, why)
        return self._short(name)

    # Work

    def train(
        self, description: Mapping[str, Any], data: str, name: str, *, seed: int = 0, start: str | None = None
    ) -> Document:
        """Return the run, begun now, that trains a model on a file of data and registers it.

        Args:
            description: What it is to become.
            data: Path of a NetCDF or CSV file, `package:NAME/path`, or the name of a dataset in the lake, `scope:name`.
            name: Of the model.
            seed: Of weights and batches.
            start: Reference of a version to go on from.

        Raises:
            InvalidInput: The description is malformed.
        """
        check_name(name)
        document = Description.read(description).document()
        learn: Document = {"data": {"from_node": "load"}, "description": document, "seed": seed}
        if start is not None:
            learn["start"] = start
        nodes = {
            "load": {"process_id": "load_samples", "arguments": {"file": self._local(data)}},
            "train": {"process_id": "train_model", "arguments": learn},
            "register": {
                "process_id": "register_model",
                "arguments": {"model": {"from_node": "train"}, "name": name},
                "result": True,
            },
        }
        return {"run": self._run(nodes, {"version": "register", "model": "train"}, f"train-{name}"), "model": name}

    def judge(self, reference: str, data: str, *, metric: str = "rmse", margin: float = 0.0) -> Document:
        """Return the run, begun now, that judges a version beside the champion on held-out data; nothing is promoted."""
        name, _, _ = parse_reference(reference)
        judged: Document = {"model": reference, "data": {"from_node": "load"}, "name": name, "promote": False}
        nodes = {
            "load": {"process_id": "load_samples", "arguments": {"file": self._local(data)}},
            "judge": {
                "process_id": "challenge_model",
                "arguments": judged | {"metric": metric, "margin": margin},
                "result": True,
            },
        }
        return {"run": self._run(nodes, {"judgement": "judge"}, f"judge-{name}"), "model": name}

    def _local(self, data: str) -> str:
        """Return a reference to a file that lies here: of a dataset in the lake, a copy that was compared with its digest."""
        scope, colon, name = data.partition(":")
        if not colon or scope in ("file", "package") or "/" in scope:
            return data
        record = self._engine.datasets.file(data)
        ending = Path(name).suffix or Path(record.replicas[0].path).suffix
        target = self._engine.settings.home / "cache" / "training" / f"{digest_bytes(data.encode())[:16]}{ending}"
        target.parent.mkdir(parents=True, exist_ok=True)
        self._engine.datasets.fetch(data, target, replace=True)
        return str(target)

    def _run(self, nodes: Document, outputs: Document, id: str) -> str:
        graph = Graph.from_json({"id": id, "process_graph": nodes, "outputs": outputs})
        return self._engine.start_graph(graph)

    def predict(self, reference: str, inputs: Mapping[str, Any], *, levels: Sequence[float] = _LEVELS) -> Document:
        """Return what a version answers, warm: it is loaded once and kept.

        A version that is the model's `shadow` is asked too; its answer goes to the stream `models/NAME` and nowhere else.

        Args:
            reference: Which version.
            inputs: By port: numbers, or `{"values": ..., "unit": ...}`.
            levels: Quantiles of the answer, where the model knows its doubt.

        Raises:
            NotFound: No such version.
            InvalidInput: An input is missing, or of the wrong shape or type.
        """
        version = self._registry.get(reference)
        answer = self._answered(version, inputs, levels)
        shadow = self._registry.holder(version.name, "shadow")
        if shadow is not None and shadow != version.number:
            beside = self._answered(self._registry.get(f"{version.name}@{shadow}"), inputs, levels)
            self._tell_shadow(version, shadow, answer, beside)
        return {"model": version.name, "version": version.number, "digest": version.digest, "outputs": answer}

    def _answered(self, version: Version, inputs: Mapping[str, Any], levels: Sequence[float]) -> Document:
        from gemel.core.learn.serving import Predictor

        found = Predictor.warm(version.digest, lambda: self._registry.bundle(version.reference))
        return _answer_document(found.dataset(_given(inputs), tuple(levels)))

    def _tell_shadow(self, version: Version, shadow: int, answer: Document, beside: Document) -> None:
        told = {"champion": version.number, "shadow": shadow, "answers": {"champion": answer, "shadow": beside}}
        stream = f"models/{version.name}"
        event = Event(new_id("event"), "gemel.model.shadowed", f"/{stream}", _now(), told, version.name)
        self._engine.log.append(stream, event)

    def export(self, reference: str, format: str = "netcdf") -> tuple[bytes, str]:
        """Return (bytes, media type) of a version as `netcdf`, `onnx`, or `onnx-int8`.

        Raises:
            InvalidInput: No such format, or the kind of model cannot be written in it.
            MissingExtra: What writes it is not installed.
        """
        if format not in EXPORTS:
            hint = did_you_mean(format, EXPORTS) or f"One of: {', '.join(EXPORTS)}."
            raise InvalidInput(f"'{format}' is not a format for models.", hint=hint)
        if format == "netcdf":
            return encode(self._registry.load(reference)).data, EXPORTS[format]
        require("onnx", extra="ml")
        from gemel.core.learn.serving import export_onnx, quantised

        written = export_onnx(self._registry.bundle(reference))
        return quantised(written) if format == "onnx-int8" else written, EXPORTS[format]

    # Trainings

    def trainings(self) -> Sequence[Document]:
        """Return every training that ran or runs here, newest first, with its step, rate and loss."""
        return [item.document() for item in trainings(self._folder)]

    def training(self, id: str) -> Document:
        """Return one training with its curve.

        Raises:
            NotFound: There is none.
        """
        found = self._training(id)
        return found.document() | {"curve": found.curve()}

    def steer(self, id: str, changes: Mapping[str, Any]) -> Document:
        """Return a training after it was told to change its learning rate, to stop or to be cancelled.

        Raises:
            InvalidInput: It cannot be changed in this way.
            Conflict: It does not run.
        """
        found = self._training(id)
        steer(found, changes)
        return found.document() | {"asked": dict(changes)}

    def _training(self, id: str) -> Watched:
        known = {item.id: item for item in trainings(self._folder)}
        if id not in known:
            raise not_found("training", id, known, command="gemel model trainings")
        return known[id]

    def _short(self, name: str) -> Document:
        versions = self._registry.versions(name)
        aliases = {alias: self._registry.holder(name, alias) for alias in ("champion", "challenger", "shadow")}
        newest = versions[0]
        told = {"name": name, "versions": len(versions), "newest": newest.number, "aliases": aliases}
        return told | {"kind": newest.document["description"]["kind"], "changed": iso(newest.created)}

    def _version(self, version: Version) -> Document:
        plain = {key: getattr(version, key) for key in ("name", "digest", "size", "run", "note", "reference")}
        aliases = [alias for alias in ("champion", "challenger", "shadow") if self._has(version, alias)]
        metrics = version.document["record"].get("metrics", {})
        return plain | {
            "version": version.number,
            "aliases": aliases,
            "created": iso(version.created),
            "kind": version.document["description"]["kind"],
            "metrics": metrics,
        }

    def _has(self, version: Version, alias: str) -> bool:
        return self._registry.holder(version.name, alias) == version.number


def _kind_document(name: str) -> Document:
    try:
        found = kind(name)
    except (MissingExtra, PluginBroken) as error:
        return {"name": name, "problem": error.message, "hint": error.hint}
    plain = {key: getattr(found, key) for key in ("framework", "task", "draws", "card")}
    return {"name": name, "problem": None} | plain | {"example": found.example().document()}


def _given(inputs: Mapping[str, Any]) -> xr.Dataset:
    """Return inputs of a request as a dataset along `sample`; one sample may come without the axis."""
    variables = {}
    for name, value in inputs.items():
        told = value if isinstance(value, Mapping) else {"values": value}
        if "values" not in told or set(told) - {"values", "unit"}:
            raise InvalidInput(
                f"Input '{name}' is no list of numbers.", hint='[1.0, 2.0] or {"values": [], "unit": "K"}'
            )
        try:
            array = np.atleast_1d(np.asarray(told["values"], dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"Input '{name}' holds something that is no number, or rows of unequal length."
            ) from error
        unit = {"units": str(told["unit"])} if "unit" in told else {}
        variables[str(name)] = (("sample", *(f"{name}_{axis}" for axis in range(array.ndim - 1))), array, unit)
    lengths = {len(array) for _, array, _ in variables.values()}
    if len(lengths) != 1:
        raise InvalidInput("A request has the same number of samples, at least one, for every input.")
    return xr.Dataset(variables)


def _answer_document(answer: xr.Dataset) -> Document:
    found: Document = {}
    for name, item in answer.data_vars.items():
        told: Document = {"unit": item.attrs.get("units"), "dims": [str(dim) for dim in item.dims]}
        if "quantile" in item.dims:
            told["quantile"] = item["quantile"].values.tolist()
        told |= {"uncertainty": item.attrs.get("uncertainty"), "values": item.values.tolist()}
        found[str(name)] = told
    return found


def _now() -> datetime:
    return datetime.now(UTC)
