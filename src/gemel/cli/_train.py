"""gemel train, promote."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import click

from gemel.base.errors import InvalidInput
from gemel.cli._data_speech import epilog
from gemel.cli._model import located, why_option
from gemel.cli._open import opened
from gemel.cli._root import Session
from gemel.cli._speech import StepTeller, emit, json_option, out, parse_settings


@click.command(epilog=epilog("gemel train runoff.toml --data record.csv --as runoff"))
@click.argument("what", metavar="TWIN|DESCRIPTION")
@click.argument("graph", required=False)
@click.option("--data", metavar="FILE", help="Of a description: NetCDF or CSV with a variable for each port.")
@click.option("--as", "name", metavar="NAME", help="Of a description: name of the model.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of weights, batches and noise.")
@click.option("--start", metavar="NAME@VERSION", help="Go on from the weights of a version.")
@click.option("--set", "values", metavar="NAME=VALUE", multiple=True, help="Of a twin: a parameter.")
@json_option
@click.pass_obj
def train(session: Session, /, what: str, graph: str | None, as_json: bool, **options: Any) -> None:
    """Train the model of a DESCRIPTION (.toml or .json) on data and register it, or run a TWIN's graph `train`.

    Watch it elsewhere with `gemel model trainings`. An interrupted training goes on where it was.
    """
    with opened(session) as client:
        if what.endswith((".toml", ".json")):
            if not options["data"] or not options["name"]:
                raise click.UsageError("A description is trained with --data FILE --as NAME.")
            told = client.models.train(
                read_description(Path(what)),
                located(options["data"]),
                options["name"],
                seed=options["seed"],
                start=options["start"],
            )
            handle = client.run(told["run"])
        else:
            handle = client.twins[what].run(graph or "train", **parse_settings(options["values"]))
        handle.watch(StepTeller(as_json))
        if as_json:
            emit(handle.document)
        elif "version" in handle.outputs:
            found = handle.outputs["version"].to_json()
            out.print(
                f"{found['name']}, version {found['version']}. See it: gemel model show {found['name']}", markup=False
            )


@click.command(epilog=epilog("gemel promote tank.level 4 --why 'better in floods'"))
@click.argument("name")
@click.argument("version", type=int)
@why_option
@json_option
@click.pass_obj
def promote(session: Session, name: str, version: int, why: str, as_json: bool) -> None:
    """Bring VERSION of a model into service; refused without a passing judgement on held-out data."""
    with opened(session) as client:
        found = client.models.promote(name, version, why)
    if as_json:
        emit(found)
    else:
        out.print(f"Version {version} of {name} is in service. Back: gemel model rollback {name}", markup=False)


def read_description(path: Path) -> dict[str, Any]:
    """Return the description in a file.

    Raises:
        InvalidInput: It cannot be read, or is neither TOML nor JSON.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text) if path.suffix == ".toml" else dict(json.loads(text))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"'{path}' is no description: {error}.", hint="gemel model kinds mlp shows one.") from error
