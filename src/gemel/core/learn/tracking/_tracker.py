"""Trainings and models as MLflow keeps them."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import math
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from gemel.base.errors import InvalidInput, NotFound, StoreUnavailable
from gemel.base.plugins import require
from gemel.core.learn.models import Description

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_R = TypeVar("_R")
_LONGEST = 500  # characters of a parameter that every MLflow takes
_BATCH = 1000  # metrics in one call
_PARAMETERS = 100  # parameters in one call
_UNFIT = re.compile(r"[^\w\-. :/]")
# It tells nobody but the address that was given, and a server that is gone does not hold up a training for minutes.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}


def _never_fails(method: Callable[_P, _R]) -> Callable[_P, _R | None]:
    @functools.wraps(method)
    def careful(*args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        try:
            with _silence():
                return method(*args, **kwargs)
        except Exception as error:
            _log.warning("MLflow was not told (%s): %s: %s", method.__name__, type(error).__name__, error)
            return None

    return careful


@dataclass(frozen=True)
class Tracker:
    """Tells MLflow of trainings and models.

    What goes wrong in telling is a warning in the log: no training fails of it. Nothing but the address is talked to.

    Attributes:
        uri: `sqlite:////folder/mlflow.db` (files of models lie beside it, in `artifacts`), or the address of a server.
        experiment: Under which MLflow files the runs.

    Raises:
        InvalidInput: The address is neither.
    """

    uri: str
    experiment: str = "gemel"

    def __post_init__(self) -> None:
        """Refuse addresses that MLflow would take for something else."""
        if not self.uri.startswith(("sqlite:///", "http://", "https://")):
            raise InvalidInput(
                f"'{self.uri}' is no address of MLflow.", hint="Write sqlite:////folder/mlflow.db or https://server."
            )

    @_never_fails
    def log(
        self,
        description: Description,
        curve: Sequence[Mapping[str, Any]],
        record: Mapping[str, Any],
        *,
        name: str = "",
        files: Sequence[Path] = (),
    ) -> str:
        """Return the id of an MLflow run that tells of a training; None where MLflow could not be told.

        Args:
            description: Its tables become parameters (`training.steps`), it itself the file `description.json`.
            curve: As `fit` gives it; numbers become metrics at their steps.
            record: What else is known of the training; becomes `record.json`, its numbers metrics.
            name: Of the run, for people.
            files: To be kept with it.
        """
        client = _client(self.uri)
        run = client.create_run(self._experiment(client), run_name=name or None).info.run_id
        entities = require("mlflow.entities", extra="ml")
        parameters = [entities.Param(_fit(key), value) for key, value in _parameters(description).items()]
        for begin in range(0, len(parameters), _PARAMETERS):
            client.log_batch(run, params=parameters[begin : begin + _PARAMETERS])
        now = int(time.time() * 1000)
        metrics = [entities.Metric(_fit(key), value, now, step) for key, value, step in _metrics(curve, record)]
        for begin in range(0, len(metrics), _BATCH):
            client.log_batch(run, metrics=metrics[begin : begin + _BATCH])
        client.log_dict(run, description.document(), "description.json")
        client.log_dict(run, json.loads(json.dumps(record, default=str)), "record.json")
        for file in files:
            client.log_artifact(run, str(file))
        client.set_terminated(run)
        return str(run)

    @_never_fails
    def register(
        self,
        name: str,
        bundle: Path,
        *,
        run: str | None = None,
        alias: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> int:
        """Return the number of a new version of a model in MLflow's registry; None where MLflow could not be told.

        Args:
            name: Of the model.
            bundle: Its file, which is copied (to the server, where there is one).
            run: Id that `log` gave; None for a run of its own.
            alias: What the version is called from now on, such as `champion`.
            tags: Of the version, such as the digest of the bundle.
        """
        client = _client(self.uri)
        if run is None:
            run = client.create_run(self._experiment(client), run_name=name).info.run_id
            client.set_terminated(run)
        exceptions = require("mlflow.exceptions", extra="ml")
        with contextlib.suppress(exceptions.MlflowException):  # it is there already; what else is wrong shows below
            client.create_registered_model(name)
        folder = f"model/{bundle.stem}"
        client.log_artifact(run, str(bundle), folder)
        source = f"{client.get_run(run).info.artifact_uri}/{folder}"
        version = client.create_model_version(name, source=source, run_id=run, tags=dict(tags or {})).version
        if alias is not None:
            client.set_registered_model_alias(name, alias, version)
        return int(version)

    def fetch(self, name: str, alias: str, folder: Path) -> Path:
        """Return the file of a registered model, copied into a folder.

        Raises:
            NotFound: There is no such model or alias.
            StoreUnavailable: MLflow cannot be reached, or its file is gone.
            MissingExtra: MLflow is not installed.
        """
        with _silence():
            client = _client(self.uri)
            exceptions = require("mlflow.exceptions", extra="ml")
            artifacts = require("mlflow.artifacts", extra="ml")
            try:
                found = client.get_model_version_by_alias(name, alias)
            except exceptions.MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise NotFound(f"MLflow has no model '{name}@{alias}'.", name=name, alias=alias) from error
                raise StoreUnavailable(f"MLflow cannot be reached at {self.uri}: {error}") from error
            folder.mkdir(parents=True, exist_ok=True)
            place = artifacts.download_artifacts(artifact_uri=found.source, dst_path=str(folder), tracking_uri=self.uri)
            files = [path for path in Path(place).rglob("*") if path.is_file()]
            if not files:
                raise StoreUnavailable(f"MLflow has lost the file of '{name}@{alias}'.")
            return files[0]

    def _experiment(self, client: Any) -> str:
        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        place = None
        if self.uri.startswith("sqlite"):
            place = (Path(self.uri.removeprefix("sqlite:///")).resolve().parent / "artifacts").as_uri()
        return str(client.create_experiment(self.experiment, artifact_location=place))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of what it calls itself
        yield


@functools.cache
def _client(uri: str) -> Any:
    if uri.startswith("sqlite"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return require("mlflow.tracking", extra="ml").MlflowClient(tracking_uri=uri, registry_uri=uri)


def _parameters(description: Description) -> dict[str, str]:
    told = {"kind": description.kind, "title": description.title}
    for table in ("options", "training", "split", "uncertainty"):
        told |= {f"{table}.{name}": _text(value) for name, value in getattr(description, table).items()}
    for side in ("inputs", "outputs"):
        told[side] = ", ".join(f"{port.name} [{port.unit}]" for port in getattr(description, side))
    return {name: value[:_LONGEST] for name, value in told.items() if value}


def _metrics(curve: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    for entry in curve:
        for name, value in entry.items():
            if name != "step" and _number(value):
                yield name, float(value), int(entry["step"])
    last = int(curve[-1]["step"]) if curve else 0
    for name, value in record.items():
        found = value.items() if isinstance(value, Mapping) else [("", value)]
        for part, number in found:
            if _number(number):
                yield f"record/{name}/{part}".rstrip("/"), float(number), last


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _fit(name: str) -> str:
    return _UNFIT.sub("_", name)
