"""Learning as processes of graphs: load, train, evaluate, predict, register, challenge, watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pandas as pd
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.graph import Dataset, File, Model, current_context, decode, process, progress, surroundings
from gemel.core.learn.lifecycle import Gate, challenged, evaluated, held_out, samples_of, searched, trained
from gemel.core.learn.models import Bundle, Description
from gemel.core.learn.monitoring import monitored, reference_of
from gemel.core.learn.registry import ModelRegistry, Verdict, Version
from gemel.core.learn.samples import Samples
from gemel.core.learn.serving import Predictor
from gemel.core.learn.tracking import Tracker
from gemel.core.learn.uncertainty import loaded
from gemel.core.learn.watching import trainings

_LEARNING = ("learning",)
_PARTS = ("test", "all")


@process(categories=_LEARNING)
def load_samples(file: File) -> Dataset:
    """What a file of samples holds: NetCDF as it is, CSV with a column for each variable.

    Args:
        file: A file `.nc` or `.csv`; a column `time` of a CSV file makes the dimension, else its rows are samples.

    Raises:
        InvalidInput: The file is neither, or cannot be read.
    """
    if file.suffix.lower() == ".csv":
        return _from_csv(file)
    try:
        found = decode("netcdf", file)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"'{file.name}' is no NetCDF file: {error}.", hint="Give a .nc or a .csv file.") from error
    return found if isinstance(found, xr.Dataset) else found.to_dataset(name=found.name or "value")


@process(categories=_LEARNING)
def train_model(data: Dataset, description: dict[str, Any], seed: int = 0, start: Model | None = None) -> Model:
    """A model trained on data, with the figures of its test part and the record of what it has seen.

    The training can be watched and steered while it runs (`gemel model trainings`), and goes on where it was when its
    engine is killed.

    Args:
        data: A variable for each port of the description.
        description: Kind, ports, options, training, split, uncertainty.
        seed: Of weights, batches and noise.
        start: Model whose weights it goes on from.

    Raises:
        InvalidInput: Data or description do not fit.
        Diverged: The loss is no number any more.
    """
    told = Description.read(description)
    home = surroundings().home
    folder = None if home is None else home / "trainings"
    before = None if start is None else Bundle.from_dataset(start)
    progress(0.0, f"training: {told.title or told.kind}")
    bundle = trained(data, told, seed=seed, start=before, folder=folder)
    if surroundings().tracking:
        _tell_training(bundle, folder)
    return bundle.to_dataset()


@process(categories=_LEARNING)
def search_model(  # noqa: PLR0913 - each is something a person may want to set
    data: Dataset,
    description: dict[str, Any],
    space: dict[str, Any],
    trials: int = 20,
    metric: str = "rmse",
    seed: int = 0,
    repeats: int = 1,
) -> dict[str, Any]:
    """The best settings of a description that a search finds, scored on the validation part of the data.

    Args:
        data: A variable for each port.
        description: What is varied.
        space: By place in the description, such as `{"training.learning_rate": {"low": 1e-4, "high": 0.1, "log": true}}`.
        trials: How many are tried; an interrupted search goes on.
        metric: What is measured.
        seed: Of the draws.
        repeats: Trainings of each trial, with seeds of their own; hopeless trials are given up before the last.

    Returns:
        `description` (the best), `values`, `score`, `metric`, `trials`.
    """
    home = surroundings().home
    folder = None if home is None else home / "searches"
    told = Description.read(description)
    return searched(data, told, space, trials=trials, metric=metric, seed=seed, repeats=repeats, folder=folder)


@process(categories=_LEARNING)
def evaluate_model(model: Model, data: Dataset, part: str = "test") -> dict[str, Any]:
    """Figures of a model on data: its metrics, and the coverage of its intervals where it knows its doubt.

    Args:
        model: Which.
        data: With truth.
        part: `test`: what the model's own split leaves for judging; `all`: everything.
    """
    bundle = Bundle.from_dataset(model)
    samples = _judged(bundle, data, part)
    return {"samples": len(samples), "digest": samples.digest} | evaluated(bundle, samples)


@process(categories=_LEARNING)
def predict_model(model: Model, data: Dataset, levels: list[float] | None = None) -> Dataset:
    """What a model answers to data: a variable for each output, with quantiles where the model knows its doubt.

    Args:
        model: Which.
        data: A variable for each input.
        levels: Of the quantiles; default 0.05, 0.5, 0.95.
    """
    return Predictor.of(Bundle.from_dataset(model)).dataset(data, tuple(levels or (0.05, 0.5, 0.95)))


@process(categories=_LEARNING)
def register_model(model: Model, name: str, note: str = "") -> dict[str, Any]:
    """The version under which a model is registered; a model that answers as a known version does is that version.

    Args:
        model: Which.
        name: Under which name; in a twin, its own unless it has a dot in it.
        note: In words.
    """
    found = _registry().register(_full(name), Bundle.from_dataset(model), run=_run(), note=note)
    return _told(found)


def _standing_of(**arguments: Any) -> Any:
    # Who is in service decides about the verdict; and who asks again after another judgement wants a new one.
    place = surroundings()
    if place.models is None:
        return None
    known, name = _registry(), place.full(str(arguments["name"]))
    judged = known.judged(name)
    return [known.holder(name, "champion"), judged.id if judged else None]


@process(categories=_LEARNING, fingerprint=_standing_of)
def challenge_model(  # noqa: PLR0913 - each is something a person may want to set
    model: Model,
    data: Dataset,
    name: str,
    metric: str = "rmse",
    margin: float = 0.0,
    bars: dict[str, Any] | None = None,
    part: str = "all",
    fewest: int = 20,
    promote: bool = True,
) -> dict[str, Any]:
    """The judgement on a model beside the champion, on data that neither has seen; it is in service when it passed.

    The model is registered in any case, with the judgement. One that was in service and was rolled back does not come
    back by itself.

    Args:
        model: The challenger.
        data: With truth.
        name: Of the model.
        metric: By which the two are compared.
        margin: Share by which the challenger has to be better.
        bars: Bounds on figures, such as `{"r2": {"minimum": 0.8}}`.
        part: `all` of the data, or the `test` part that the challenger's own split leaves.
        fewest: Least number of samples.
        promote: Whether passing brings it into service; else it is the `challenger`.
    """
    registry, bundle, full = _registry(), Bundle.from_dataset(model), _full(name)
    version = registry.register(full, bundle, run=_run())
    holder = registry.holder(full, "champion")
    if holder == version.number:
        return _told(version) | {"promoted": True, "passed": True, "judgement": None, "reason": "in service already"}
    champion = None if holder is None else registry.bundle(f"{full}@{holder}")
    samples = _judged(bundle, data, part)
    verdicts, figures = challenged(bundle, champion, samples, Gate(metric, margin, bars or {}, fewest))
    verdicts += _once_back(registry, version)
    about = {"samples": len(samples), "digest": samples.digest}
    judgement = registry.judge(full, version.number, verdicts, figures=figures, data=about, run=_run())
    _serve(registry, version, judgement.passed, promote)
    failed = [item.evidence for item in verdicts if not item.passed]
    reason = "; ".join(failed) or "every verdict passed"
    told = {"passed": judgement.passed, "promoted": judgement.passed and promote, "reason": reason}
    return _told(version) | told | {"judgement": judgement.document()}


@process(categories=_LEARNING)
def watch_model(model: Model, data: Dataset, level: float = 0.01) -> dict[str, Any]:
    """What has drifted since a model was trained: its inputs, its answers, and, where data hold the truth, its errors.

    Args:
        model: Which.
        data: New inputs, with or without outputs.
        level: Chance of a false alarm.
    """
    bundle = Bundle.from_dataset(model)
    description = bundle.description
    known = all(port.name in data for port in description.outputs)
    outputs = description.outputs if known else ()
    samples = Samples.of(data, description.inputs, outputs, along=description.split.get("along") or None)
    now = reference_of(samples, loaded(bundle).predict(samples.inputs))
    return monitored(bundle.reference, now, level=level).document()


def _from_csv(file: Any) -> xr.Dataset:
    try:
        table = pd.read_csv(file)
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidInput(f"'{file.name}' is no CSV file: {error}.") from error
    if "time" in table:
        table["time"] = pd.to_datetime(table["time"])
        return xr.Dataset.from_dataframe(table.set_index("time"))
    return xr.Dataset.from_dataframe(table.rename_axis("sample"))


def _judged(bundle: Bundle, data: xr.Dataset, part: str) -> Samples:
    if part not in _PARTS:
        raise InvalidInput(f"There is no part '{part}' to judge by.", hint=f"One of {', '.join(_PARTS)}.")
    return held_out(data, bundle) if part == "test" else samples_of(data, bundle.description)


def _once_back(registry: ModelRegistry, version: Version) -> list[Verdict]:
    served = [item for item in registry.history(version.name) if item.alias == "champion"]
    if not any(item.version == version.number for item in served):
        return []
    evidence = f"version {version.number} was in service before and was taken out of it; promote it by hand"
    return [Verdict("not-rolled-back", False, None, None, evidence)]


def _serve(registry: ModelRegistry, version: Version, passed: bool, promote: bool) -> None:
    if passed and promote:
        registry.promote(version.name, version.number, "passed the gate")
        if surroundings().tracking:
            _tell_promotion(registry, version)
    elif passed:
        registry.assign(version.name, "challenger", version.number, "passed the gate")


def _tell_training(bundle: Bundle, folder: Path | None) -> None:
    training = bundle.record["training"]
    known = {item.id: item for item in trainings(folder)} if folder else {}
    curve = known[training["id"]].curve() if training["id"] in known else []
    Tracker(surroundings().tracking).log(bundle.description, curve, bundle.record, name=training["id"])


def _tell_promotion(registry: ModelRegistry, version: Version) -> None:
    tags = {"digest": version.digest, "version": str(version.number)}
    Tracker(surroundings().tracking).register(
        version.name, registry.path(version.reference), alias="champion", tags=tags
    )


def _registry() -> ModelRegistry:
    return cast("ModelRegistry", surroundings().registered())


def _full(name: str) -> str:
    return surroundings().full(name)


def _run() -> str | None:
    return current_context().run or None


def _told(version: Version) -> dict[str, Any]:
    return {"name": version.name, "version": version.number, "digest": version.digest, "reference": version.reference}
