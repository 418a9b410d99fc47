"""gemel trigger: when something happens, run a graph."""

from __future__ import annotations

from typing import Any

import click

from gemel.cli._data_speech import epilog
from gemel.cli._open import opened
from gemel.cli._root import Session
from gemel.cli._speech import emit, json_option, out, parse_settings, table

Document = dict[str, Any]


@click.group(epilog=epilog("gemel trigger add earlywarning train --cron '0 3 * * *' --zone Europe/Berlin"))
def trigger() -> None:
    """When something happens, run a graph: list, add, call, remove."""


@trigger.command("list", epilog=epilog("gemel trigger list earlywarning"))
@click.argument("twin", required=False)
@json_option
@click.pass_obj
def list_triggers(session: Session, twin: str | None, as_json: bool) -> None:
    """List the triggers of a twin; without one, those of live twins and all that were added."""
    with opened(session) as client:
        found = client.triggers.list(twin)
    if as_json:
        emit({"triggers": found})
        return
    rows = [
        (item["name"], item["twin"], item["kind"], item["run"], item["last"] or item["position"], _problem(item))
        for item in found
    ]
    table(("trigger", "twin", "because of", "runs", "last", "problem"), rows)


@trigger.command(epilog=epilog("gemel trigger add tank train --on level --volume events=1000"))
@click.argument("twin")
@click.argument("graph")
@click.option("--name", help="Its name; made of what it does by default.")
@click.option("--every", metavar="DURATION", help="Every so often, such as '15 min'.")
@click.option("--cron", metavar="CRON", help="As cron says, such as '0 3 * * MON-FRI'.")
@click.option("--zone", metavar="ZONE", help="Time zone of --cron, such as Europe/Berlin; UTC by default.")
@click.option("--missed", type=click.Choice(["once", "all", "skip"]), help="What to do about instants that passed.")
@click.option("--event", metavar="TYPE", help="An event about the twin, such as gemel.twin.diverged.")
@click.option("--stream", metavar="STREAM", help="The stream of --event, when it is not the twin's own.")
@click.option("--dataset", metavar="PATTERN", help="A dataset in the lake, such as 'fulda:*'.")
@click.option("--check", metavar="CHECK", help="A check of the twin that did not pass.")
@click.option("--on", metavar="SOURCE", help="What comes on a source: with --volume or --drift.")
@click.option("--volume", metavar="KEY=VALUE", multiple=True, help="So much came: events=, bytes= or age=.")
@click.option("--drift", metavar="KEY=VALUE", multiple=True, help="A variable drifted: variable=, method=, window=, …")
@click.option("--call", is_flag=True, help="A call from outside.")
@click.option(
    "--where", metavar="KEY=VALUE", multiple=True, help="Only events whose data say so; [low, high] for a range."
)
@click.option("--set", "parameters", metavar="NAME=VALUE", multiple=True, help="A parameter of the graph.")
@json_option
@click.pass_obj
def add(session: Session, /, twin: str, graph: str, as_json: bool, **given: Any) -> None:
    """Run GRAPH of TWIN when something happens; exactly one run for each cause."""
    document: Document = {name: value for name, value in given.items() if value not in (None, (), False)}
    for name in ("volume", "drift", "where", "parameters"):
        if name in document:
            document[name] = parse_settings(document[name])
    with opened(session) as client:
        found = client.triggers.add(twin, {"run": graph, **document})
    if as_json:
        emit(found)
    else:
        out.print(f"Trigger '{found['name']}' of {twin} runs {graph} ({found['kind']}).", markup=False)


@trigger.command(epilog=epilog("gemel trigger remove earlywarning nightly"))
@click.argument("twin")
@click.argument("name")
@json_option
@click.pass_obj
def remove(session: Session, twin: str, name: str, as_json: bool) -> None:
    """Remove a trigger that was added."""
    with opened(session) as client:
        client.triggers.remove(twin, name)
    emit({"removed": name}) if as_json else out.print(f"Removed '{name}'.", markup=False)


@trigger.command(epilog=epilog("gemel trigger call tank ask --set what=now --key monday"))
@click.argument("twin")
@click.argument("name")
@click.option("--set", "parameters", metavar="NAME=VALUE", multiple=True, help="A parameter of the graph.")
@click.option("--key", help="Makes a repeated call the same: one key, one run.")
@json_option
@click.pass_obj
def call(session: Session, twin: str, name: str, parameters: tuple[str, ...], key: str | None, as_json: bool) -> None:
    """Call a trigger; a serving engine makes the run."""
    with opened(session) as client:
        found = client.triggers.call(twin, name, parse_settings(parameters), key)
    emit(found) if as_json else out.print(f"Cause {found['id']}: {found['state']}.", markup=False)


@trigger.command(epilog=epilog("gemel trigger causes earlywarning"))
@click.argument("twin", required=False)
@click.option("--count", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most causes.")
@json_option
@click.pass_obj
def causes(session: Session, twin: str | None, count: int, as_json: bool) -> None:
    """List what fired, newest first, each with its run."""
    with opened(session) as client:
        found = client.triggers.causes(twin, count)
    if as_json:
        emit({"causes": found})
        return
    keys = ("id", "kind", "time", "state", "run")
    table(("cause", "kind", "time", "state", "run"), [[item[key] for key in keys] for item in found])


def _problem(item: Document) -> str:
    return item["problem"]["message"] if item["problem"] else ""
