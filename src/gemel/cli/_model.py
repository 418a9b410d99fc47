"""gemel model: what was learned, which version is in service, and why; trainings that run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from gemel.cli._data_speech import epilog
from gemel.cli._open import opened
from gemel.cli._root import Session
from gemel.cli._speech import emit, json_option, out, parse_settings, table

Document = dict[str, Any]
_LOOK_SECONDS = 1.0
why_option = click.option("--why", default="", help="Why, for the history.")


@click.group(epilog=epilog("gemel model show tank.level"))
def model() -> None:
    """Trained models: versions, history, rollback, answers, export; trainings that run."""


@model.command("list", epilog=epilog("gemel model list --json"))
@json_option
@click.pass_obj
def list_models(session: Session, as_json: bool) -> None:
    """List models, and which of their versions is in service."""
    with opened(session) as client:
        found = client.models.list()
    if as_json:
        emit({"models": found})
        return
    names = ("champion", "challenger", "shadow")
    rows = [
        (item["name"], item["kind"], item["versions"], *(item["aliases"][name] for name in names)) for item in found
    ]
    table(("model", "kind", "versions", *names), rows)


@model.command("kinds", epilog=epilog("gemel model kinds mlp"))
@click.argument("name", required=False)
@json_option
@click.pass_obj
def list_kinds(session: Session, name: str | None, as_json: bool) -> None:
    """List the kinds of models that can be trained; of one, show its card and a description to begin with."""
    with opened(session) as client:
        found = [item for item in client.models.kinds() if name in (None, item["name"])]
    if as_json:
        emit({"kinds": found})
    elif name is not None and found:
        out.print(found[0].get("card") or found[0]["problem"], markup=False)
        out.print(json.dumps(found[0].get("example"), indent=2), markup=False)
    else:
        keys = ("name", "framework", "task", "draws", "problem")
        table(keys, [[item.get(key) for key in keys] for item in found])


@model.command(epilog=epilog("gemel model show tank.level"))
@click.argument("name")
@json_option
@click.pass_obj
def show(session: Session, name: str, as_json: bool) -> None:
    """Show a model's versions; of NAME@VERSION, how it was trained and judged."""
    with opened(session) as client:
        found = client.models.version(name) if "@" in name else client.models.get(name)
    if as_json:
        emit(found)
    elif "@" in name:
        out.print(json.dumps(found, indent=2, ensure_ascii=False), markup=False)
    else:
        rows = [_version_row(item) for item in found["versions"]]
        table(("version", "in service as", "kind", "rmse", "r2", "created", "digest"), rows)


def located(data: str) -> str:
    """Return the whole path of a file that lies here; another reference as it is, for the engine to find."""
    return str(Path(data).absolute()) if Path(data).is_file() else data


def _version_row(item: Document) -> tuple[Any, ...]:
    metrics = item["metrics"]
    told = (item["version"], ", ".join(item["aliases"]), item["kind"], metrics.get("rmse"), metrics.get("r2"))
    return (*told, item["created"], item["digest"][:12])


@model.command(epilog=epilog("gemel model history tank.level"))
@click.argument("name")
@click.option("--at", metavar="TIME", help="Which version was champion then?")
@json_option
@click.pass_obj
def history(session: Session, name: str, at: str | None, as_json: bool) -> None:
    """Show which version was in service from when to when, and why."""
    with opened(session) as client:
        found: Any = client.models.at(name, at) if at else {"history": client.models.history(name)}
    if as_json:
        emit(found)
    elif at:
        out.print(f"Version {found['version']} ({found['reference']})", markup=False)
    else:
        keys = ("alias", "version", "since", "until", "verb", "why")
        table(keys, [[item[key] for key in keys] for item in found["history"]])


@model.command(epilog=epilog("gemel model rollback tank.level --why 'too low in floods'"))
@click.argument("name")
@why_option
@json_option
@click.pass_obj
def rollback(session: Session, name: str, why: str, as_json: bool) -> None:
    """Bring the champion before the present one back into service."""
    with opened(session) as client:
        found = client.models.rollback(name, why)
    if as_json:
        emit(found)
    else:
        out.print(f"Version {found['version']} of {name} is in service again.", markup=False)


@model.command(epilog=epilog("gemel model shadow tank.level 4"))
@click.argument("name")
@click.argument("version", type=int, required=False)
@why_option
@json_option
@click.pass_obj
def shadow(session: Session, name: str, version: int | None, why: str, as_json: bool) -> None:
    """Let VERSION be asked beside the champion without being heard; without VERSION, no longer.

    Its answers go to the stream models/NAME.
    """
    with opened(session) as client:
        found = client.models.assign(name, "shadow", version, why)
    if as_json:
        emit(found)
    else:
        out.print(f"Shadow of {name}: {version or 'none'}.", markup=False)


@model.command(epilog=epilog("gemel model predict tank.level --set rain='[1.0, 2.5]'"))
@click.argument("reference", metavar="NAME[@VERSION]")
@click.option("--set", "values", metavar="NAME=NUMBERS", multiple=True, help="Numbers of an input.")
@click.option("--file", type=click.File("rb"), help="Inputs as JSON; - for standard input.")
@json_option
@click.pass_obj
def predict(session: Session, reference: str, values: tuple[str, ...], file: Any, as_json: bool) -> None:
    """Ask a model; its champion when no version is named."""
    inputs = json.load(file) if file else {name: _numbers(value) for name, value in parse_settings(values).items()}
    with opened(session) as client:
        found = client.models.predict(reference, inputs)
    if as_json:
        emit(found)
        return
    for name, item in found["outputs"].items():
        out.print(f"{name} [{item['unit'] or '1'}] {item.get('quantile') or ''} {item['values']}", markup=False)


def _numbers(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.lstrip().startswith(("[", "{")) else value


@model.command(epilog=epilog("gemel model export tank.level level.onnx"))
@click.argument("reference", metavar="NAME[@VERSION]")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--int8", is_flag=True, help="Of ONNX: with weights of 8 bits.")
@json_option
@click.pass_obj
def export(session: Session, reference: str, file: Path, int8: bool, as_json: bool) -> None:
    """Write a version to FILE: .nc (everything it knows) or .onnx (what other programs run)."""
    kind = "netcdf" if file.suffix == ".nc" else "onnx-int8" if int8 else "onnx"
    with opened(session) as client:
        content, _ = client.models.export(reference, kind)
    file.write_bytes(content)
    if as_json:
        emit({"file": str(file), "format": kind, "bytes": len(content)})
    else:
        out.print(f"Wrote {file}: {len(content):,} bytes.", markup=False)


@model.command(epilog=epilog("gemel model judge tank.level@4 held-out.csv"))
@click.argument("reference", metavar="NAME@VERSION")
@click.argument("data")
@click.option("--metric", default="rmse", show_default=True, help="By which it is held against the champion.")
@click.option("--margin", default=0.0, show_default=True, help="Share by which it has to be better.")
@json_option
@click.pass_obj
def judge(session: Session, reference: str, data: str, metric: str, margin: float, as_json: bool) -> None:
    """Judge a version beside the champion on held-out DATA; a passing judgement opens the gate for `gemel promote`."""
    with opened(session) as client:
        asked = client.models.judge(reference, located(data), metric=metric, margin=margin)
        run = client.run(asked["run"]).watch()
        found = run.outputs["judgement"].to_json()
    if as_json:
        emit(found)
        return
    rows = [
        (item["id"], "yes" if item["passed"] else "no", item["evidence"]) for item in found["judgement"]["verdicts"]
    ]
    table(("verdict", "passed", "evidence"), rows)
    out.print("Passed." if found["passed"] else "Did not pass.", markup=False)


@model.command(epilog=epilog("gemel model trainings --follow training-0123456789abcdef"))
@click.option("--follow", metavar="ID", help="Show a training's curve as it grows.")
@json_option
@click.pass_obj
def trainings(session: Session, follow: str | None, as_json: bool) -> None:
    """List trainings, newest first: their steps, rates and losses."""
    with opened(session) as client:
        if follow:
            _follow(client, follow, as_json)
            return
        found = client.models.trainings()
    if as_json:
        emit({"trainings": found})
        return
    keys = ("id", "state", "step", "steps", "rate", "eta", "loss")
    table(keys, [[item.get(key) for key in keys] for item in found])


def _follow(client: Any, id: str, as_json: bool) -> None:
    shown = 0
    while True:
        found = client.models.training(id)
        for entry in found["curve"][shown:]:
            if as_json:
                click.echo(json.dumps(entry))
            else:
                out.print(
                    "  ".join(
                        f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
                        for name, value in entry.items()
                    ),
                    markup=False,
                )
        shown = len(found["curve"])
        if found["state"] != "running":
            return
        time.sleep(_LOOK_SECONDS)


@model.command(epilog=epilog("gemel model steer training-0123456789abcdef --learning-rate 1e-4"))
@click.argument("training")
@click.option("--learning-rate", type=float, help="From the next step on.")
@click.option("--stop", is_flag=True, help="End it with what it has.")
@click.option("--cancel", is_flag=True, help="End it for good.")
@json_option
@click.pass_obj
def steer(
    session: Session, training: str, learning_rate: float | None, stop: bool, cancel: bool, as_json: bool
) -> None:
    """Change a training while it runs."""
    changes: Document = {} if learning_rate is None else {"learning_rate": learning_rate}
    changes |= {name: True for name, wanted in (("stop", stop), ("cancel", cancel)) if wanted}
    if not changes:
        raise click.UsageError("Say what to change: --learning-rate, --stop or --cancel.")
    with opened(session) as client:
        found = client.models.steer(training, changes)
    if as_json:
        emit(found)
    else:
        out.print(f"Told {training}: {changes}", markup=False)
