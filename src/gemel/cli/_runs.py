"""gemel run, whatif, watch, runs, show, cancel."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gemel.base.config import load_settings
from gemel.base.errors import GraphInvalid, NotFound
from gemel.base.sizes import spoken_size
from gemel.cli._cwl import cwl_graph, kept_files
from gemel.cli._open import opened
from gemel.cli._root import EXIT_CODES, Session
from gemel.cli._speech import StepTeller, emit, err, json_option, out, parse_settings, table
from gemel.infra.lake import ContentStore
from gemel.sdk import RunHandle

_set_option = click.option(
    "--set",
    "values",
    metavar="NAME=VALUE",
    multiple=True,
    help="Value of a parameter; a unit may follow: rain='130 %'.",
)


@click.command(epilog="Example:  gemel run earlywarning forecast --set issued=1987-01-01 --save out/")
@click.argument("twin")
@click.argument("graph", required=False)
@_set_option
@click.option("--save", type=click.Path(file_okay=False), help="Folder to write the outputs to.")
@click.option("--estimate", is_flag=True, help="Of a GRAPH.json: say what it will need, and run nothing.")
@json_option
@click.pass_obj
def run(session: Session, /, twin: str, graph: str | None, save: str | None, as_json: bool, **options: Any) -> None:
    """Run GRAPH of TWIN (its main graph by default) and wait for the end.

    TWIN may be a file GRAPH.json with an openEO process graph, or a CWL tool or workflow TOOL.cwl, whose job is then GRAPH.

    Only what changed since earlier runs is computed. A run that was interrupted is taken up where it stopped.
    """
    with opened(session) as client:
        given = parse_settings(options["values"])
        if options["estimate"]:
            _tell_estimate(client.estimate_graph(read_graph(twin), **given), as_json)
            return
        if twin.endswith(".cwl"):
            handle = client.run_graph(cwl_graph(twin, graph))
        elif twin.endswith(".json"):
            handle = client.run_graph(read_graph(twin), **given)
        else:
            handle = client.twins[twin].run(graph, **given)
        _follow(session, handle, as_json, save)


@click.command(epilog="Example:  gemel whatif earlywarning --set rain=1.3 --set temperature='2 K'")
@click.argument("twin")
@_set_option
@click.option("--save", type=click.Path(file_okay=False), help="Folder to write the outputs to.")
@json_option
@click.pass_obj
def whatif(session: Session, twin: str, values: tuple[str, ...], save: str | None, as_json: bool) -> None:
    """Ask TWIN what would follow if these parameters were so."""
    with opened(session) as client:
        handle = client.twins[twin].whatif(**parse_settings(values))
        _follow(session, handle, as_json, save)


@click.command(epilog="Example:  gemel watch run-01jd…")
@click.argument("run_id")
@json_option
@click.pass_obj
def watch(session: Session, run_id: str, as_json: bool) -> None:
    """Follow a run until it ends."""
    with opened(session) as client:
        _follow(session, client.run(run_id), as_json, None)


@click.command(epilog="Example:  gemel runs --twin earlywarning --state failed")
@click.option("--twin", help="Only runs of this twin.")
@click.option("--state", type=click.Choice(["queued", "running", "finished", "failed", "cancelled"]))
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@json_option
@click.pass_obj
def runs(session: Session, twin: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    with opened(session) as client:
        found = client.transport.runs(twin, state, limit)
    if as_json:
        emit({"runs": found})
        return
    table(
        ("run", "twin", "graph", "state", "started"),
        [[r[k] for k in ("id", "twin", "graph", "state", "started")] for r in found],
    )


@click.command(epilog="Example:  gemel show run-01jd… --logs")
@click.argument("run_id")
@click.option("--logs", is_flag=True, help="Show what the steps logged.")
@json_option
@click.pass_obj
def show(session: Session, run_id: str, logs: bool, as_json: bool) -> None:
    """Show a run: steps, outputs, checks, error, logs."""
    with opened(session) as client:
        document = client.transport.run(run_id)
        lines = client.transport.logs(run_id) if logs else []
    if as_json:
        emit(document | ({"logs": lines} if logs else {}))
        return
    _print_run(document)
    for line in lines:
        out.print(f"{line['time']}  {line['step']}  {line['level']}  {line['message']}", markup=False)


@click.command(epilog="Example:  gemel cancel run-01jd…")
@click.argument("run_id")
@json_option
@click.pass_obj
def cancel(session: Session, run_id: str, as_json: bool) -> None:
    """Stop a run; what it has finished is kept."""
    with opened(session) as client:
        document = client.transport.cancel(run_id)
    if as_json:
        emit(document)
    else:
        out.print(f"Run {run_id} is {document['state']}.")


def _tell_estimate(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(document)
        return
    for stage in document["stages"]:
        shape = " × ".join(f"{name} {size}" for name, size in stage["shape"].items()) or "known when it runs"
        tiles = " × ".join(f"{name} {size}" for name, size in stage["tile"].items())
        how = f"{stage['tiles']} tile{'s' if stage['tiles'] > 1 else ''} of {tiles}" if tiles else "in one go"
        out.print(f"{' → '.join(stage['steps'])}", markup=False)
        out.print(f"  result {shape} {stage['dtype']}, {how}", markup=False)
        out.print(
            f"  memory {spoken_size(stage['peak_bytes'])}, reads {spoken_size(stage['read_bytes'])}", markup=False
        )
    if document["unknown"]:
        out.print(f"Only running it can tell of: {', '.join(document['unknown'])}", markup=False)
    if not document["stages"]:
        out.print("Nothing in it is large: no step works on stored cubes.")


def read_graph(name: str) -> dict[str, Any]:
    """Return the process graph in a file.

    Raises:
        NotFound: There is no such file.
        GraphInvalid: It holds none.
    """
    try:
        document = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFound(f"There is no file '{name}' that can be read.", hint=error.strerror) from error
    except ValueError as error:
        raise GraphInvalid(f"'{name}' is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise GraphInvalid(f"'{name}' holds no process graph.", hint='Expected {"process_graph": {…}}.')
    return document


def _follow(session: Session, handle: RunHandle, as_json: bool, save: str | None) -> None:
    teller = StepTeller(quiet=as_json)
    try:
        handle.watch(teller)
    except KeyboardInterrupt:
        handle.cancel()
        raise
    document = handle.document
    saved = [str(path) for path in _save(session, handle, Path(save))] if save else []
    if as_json:
        emit(document | ({"saved": saved} if save else {}))
    else:
        _print_run(document)
        _print_views(handle.views())
        for path in saved:
            out.print(f"Saved {path}")
        if not save:
            _tell_files(handle)
    if any(not check["passed"] for check in document["checks"]):
        raise SystemExit(EXIT_CODES["check failed"])


def _save(session: Session, handle: RunHandle, folder: Path) -> Iterator[Path]:
    """Write the outputs into a folder, with the files that they speak of, and yield each path."""
    folder.mkdir(parents=True, exist_ok=True)
    formats = {output["name"]: output["format"] for output in handle.document["outputs"]}
    for name, result in handle.outputs.items():
        if formats[name] == "netcdf":
            yield result.save(folder / f"{name}.nc")
            continue
        value = result.to_json()
        files = list(kept_files(value))
        # A result of save_result speaks of its files by their names: the two lie side by side, apart from other outputs'.
        place = folder / name if files and len(formats) > 1 else folder
        place.mkdir(exist_ok=True)
        is_item = isinstance(value, dict) and "stac_version" in value
        yield result.save(place / f"{name}{'.stac' if is_item else ''}.json")
        yield from _save_files(session, files, place)


def _tell_files(handle: RunHandle) -> None:
    """Say which files the results speak of, which nobody asked to have copied."""
    if handle.document["twin"]:
        return
    values = [item.to_json() for item in handle.outputs.values() if item.name in _written(handle)]
    names = [str(file.get("basename") or file["href"]) for value in values for file in kept_files(value)]
    if names:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        out.print(f"Files in the lake: {shown}. To have them: --save FOLDER", markup=False)


def _written(handle: RunHandle) -> set[str]:
    return {output["name"] for output in handle.document["outputs"] if output["format"] == "json"}


def _save_files(session: Session, files: list[dict[str, Any]], folder: Path) -> Iterator[Path]:
    if files and session.url:
        err.print(f"The files of the result stay with the engine at {session.url}; its openEO API hands them out.")
        return
    store = ContentStore(load_settings(assignments=session.assignments).home / "results")
    for file in files:
        target = folder / Path(file.get("basename") or file["href"]).name
        part = target.with_name(f".{target.name}.part")
        shutil.copyfile(store.path(file["gemel:digest"]), part)
        yield part.replace(target)


def _print_run(document: dict[str, Any]) -> None:
    graph = "/".join(part for part in (document["twin"], document["graph"]) if part)
    out.print(f"Run [bold]{document['id']}[/] of {graph}: {document['state']}")
    steps = [(s["id"], s["process"], s["state"], "reused" if s["cached"] else s["seconds"]) for s in document["steps"]]
    table(("step", "process", "state", "seconds"), steps)
    for output in document["outputs"]:
        unit = f" in {output['unit']}" if output["unit"] else ""
        out.print(f"Output {output['name']} ({output['format']}{unit}): {output['href']}")
    for check in document["checks"]:
        mark = "[green]✓[/]" if check["passed"] else "[red]✗[/]"
        out.print(f"{mark} {check['id']}: {check['value']} (bar {check['bar']})")
    if document["error"]:
        err.print(f"[red]{document['error']['message']}[/]")
        if document["error"]["hint"]:
            err.print(f"  → {document['error']['hint']}")


def _print_views(views: list[dict[str, Any]]) -> None:
    for view in views:
        if view["kind"] == "plume" and view["quantiles"]["time"]:
            print_plume(view)
        elif view["kind"] == "alerts":
            for alert in view["alerts"]:
                print_alert(alert)


def print_plume(view: dict[str, Any]) -> None:
    """Print the quantiles of a plume as a table with its unit."""
    quantiles = view["quantiles"]
    columns = ["time", *(f"{level:.0%}" for level in quantiles["levels"])]
    rows = zip(quantiles["time"], *quantiles["values"], strict=True)
    out.print()
    table(columns, [list(row) for row in rows], title=f"{view['title']} ({view['unit']})")


def print_alert(alert: dict[str, Any]) -> None:
    """Print one alert as a sentence."""
    what = f"[yellow]▲[/] {alert['event']} at {alert['place']}"
    level = f"the {alert['level']} level ({alert['threshold']:.4g} {alert['unit']})"
    if alert["lead_days"] == 0:
        out.print(f"{what}: {level} is passed now, observed {alert['valid']}")
        return
    verb = "falling below" if alert["event"] == "drought" else "passing"
    chance = f"{alert['probability']:.0%} chance of {verb} {level} in {alert['lead_days']} d"
    out.print(f"{what}: {chance}, issued {alert['issued']}")
