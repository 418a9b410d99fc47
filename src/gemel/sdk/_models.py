"""Models and trainings over HTTP, answering as `gemel.core.engine.ModelService` does here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gemel.sdk._connection import Connection, Document, part


class ModelTransport(Protocol):
    """What the client asks of an engine's models."""

    def list(self) -> Sequence[Document]:
        """Return every model."""

    def get(self, name: str) -> Document:
        """Return a model with its versions and its history."""

    def version(self, reference: str) -> Document:
        """Return one version."""

    def history(self, name: str) -> Sequence[Document]:
        """Return which version had which alias from when to when."""

    def at(self, name: str, instant: str) -> Document:
        """Return the champion of an instant."""

    def kinds(self) -> Sequence[Document]:
        """Return every kind of model."""

    def promote(self, name: str, version: int, why: str = "") -> Document:
        """Return the service of the new champion."""

    def rollback(self, name: str, why: str = "") -> Document:
        """Return the service of the champion before."""

    def assign(self, name: str, alias: str, version: int | None, why: str = "") -> Document:
        """Return the model after an alias was given or taken away."""

    def train(
        self, description: Mapping[str, Any], data: str, name: str, *, seed: int = 0, start: str | None = None
    ) -> Document:
        """Return the run that trains a model."""

    def judge(self, reference: str, data: str, *, metric: str = "rmse", margin: float = 0.0) -> Document:
        """Return the run that judges a version."""

    def predict(self, reference: str, inputs: Mapping[str, Any], *, levels: Sequence[float] = ...) -> Document:
        """Return what a version answers."""

    def export(self, reference: str, format: str = "netcdf") -> tuple[bytes, str]:
        """Return a version in a format."""

    def trainings(self) -> Sequence[Document]:
        """Return every training."""

    def training(self, id: str) -> Document:
        """Return a training with its curve."""

    def steer(self, id: str, changes: Mapping[str, Any]) -> Document:
        """Return a training after it was told to change."""


class HttpModels:
    """Models of an engine behind an address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> Sequence[Document]:
        """Return every model: how many versions, and which of them have an alias."""
        found: Sequence[Document] = self._connection.get("/models")["models"]
        return found

    def get(self, name: str) -> Document:
        """Return a model with all its versions, newest first, and its history."""
        return self._connection.get(f"/models/{part(name)}")

    def version(self, reference: str) -> Document:
        """Return one version: its description, how it was trained, and the newest judgement on it."""
        return self._connection.get(_version(reference))

    def history(self, name: str) -> Sequence[Document]:
        """Return which version had which alias from when to when, newest first."""
        found: Sequence[Document] = self._connection.get(f"/models/{part(name)}/history")["history"]
        return found

    def at(self, name: str, instant: str) -> Document:
        """Return the version that was champion at an instant."""
        return self._connection.get(f"/models/{part(name)}/at/{part(instant)}")

    def kinds(self) -> Sequence[Document]:
        """Return every kind of model that can be trained there, with its card."""
        found: Sequence[Document] = self._connection.get("/model-kinds")["kinds"]
        return found

    def promote(self, name: str, version: int, why: str = "") -> Document:
        """Return the service of the new champion; refused without a passing judgement."""
        return self._connection.post(f"/models/{part(name)}/promote", None, version=version, why=why)

    def rollback(self, name: str, why: str = "") -> Document:
        """Return the service of the champion before, which is in service again."""
        return self._connection.post(f"/models/{part(name)}/rollback", None, why=why)

    def assign(self, name: str, alias: str, version: int | None, why: str = "") -> Document:
        """Return the model after `challenger` or `shadow` was given to a version, or (None) taken away."""
        verb, params = ("DELETE", {"why": why}) if version is None else ("PUT", {"version": version, "why": why})
        sent = self._connection.send(verb, f"/models/{part(name)}/aliases/{part(alias)}", params=params)
        return dict(sent.json())

    def train(
        self, description: Mapping[str, Any], data: str, name: str, *, seed: int = 0, start: str | None = None
    ) -> Document:
        """Return the run, begun now, that trains a model on a file that the engine can read, and registers it."""
        body = {"description": dict(description), "data": data, "name": name, "seed": seed}
        return self._connection.post("/models", body | ({} if start is None else {"start": start}))

    def judge(self, reference: str, data: str, *, metric: str = "rmse", margin: float = 0.0) -> Document:
        """Return the run, begun now, that judges a version beside the champion on held-out data."""
        return self._connection.post(f"{_version(reference)}/judge", None, data=data, metric=metric, margin=margin)

    def predict(
        self, reference: str, inputs: Mapping[str, Any], *, levels: Sequence[float] = (0.05, 0.5, 0.95)
    ) -> Document:
        """Return what a version answers: by output its unit, its quantiles where the model knows its doubt, its values."""
        return self._connection.post(f"{_version(reference)}/predict", dict(inputs), level=list(levels))

    def export(self, reference: str, format: str = "netcdf") -> tuple[bytes, str]:
        """Return (bytes, media type) of a version as `netcdf`, `onnx` or `onnx-int8`."""
        sent = self._connection.send("GET", f"{_version(reference)}/export", params={"format": format})
        return sent.content, sent.headers["content-type"]

    def trainings(self) -> Sequence[Document]:
        """Return every training that ran or runs there, newest first."""
        found: Sequence[Document] = self._connection.get("/trainings")["trainings"]
        return found

    def training(self, id: str) -> Document:
        """Return one training with its curve."""
        return self._connection.get(f"/trainings/{part(id)}")

    def steer(self, id: str, changes: Mapping[str, Any]) -> Document:
        """Return a training after it was told to change its learning rate, to stop or to be cancelled."""
        return self._connection.post(f"/trainings/{part(id)}/control", dict(changes))


def _version(reference: str) -> str:
    name, _, at = reference.partition("@")
    return f"/models/{part(name)}/versions/{part(at.partition('#')[0] or 'champion')}"
