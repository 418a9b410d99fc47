"""gemel export, step: graphs for other engines, and how those call back."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from gemel.base.config import load_settings
from gemel.base.errors import InvalidInput
from gemel.cli._root import Session
from gemel.cli._runs import read_graph
from gemel.cli._speech import emit, json_option, out, parse_settings
from gemel.core.engine import Engine, open_engine
from gemel.core.graph import Graph, Plan, Registry, from_document, plan, require_valid, run_task
from gemel.core.twin import load_twin, resolve
from gemel.faces import cwl, ecflow

_FACES = {"cwl": cwl, "ecflow": ecflow}


@click.command(epilog="Example:  gemel export earlywarning forecast --as ecflow --to /operations/flood")
@click.argument("twin")
@click.argument("graph", required=False)
@click.option("--as", "face", type=click.Choice(sorted(_FACES)), default="cwl", show_default=True)
@click.option("--to", "folder", required=True, type=click.Path(file_okay=False), help="Folder for the files.")
@click.option("--command", default="gemel", show_default=True, help="How gemel is called where the tasks run.")
@click.option("--set", "values", metavar="NAME=VALUE", multiple=True, help="Value of a parameter.")
@json_option
@click.pass_obj
def export(session: Session, /, twin: str, graph: str | None, folder: str, **options: Any) -> None:
    """Write GRAPH of TWIN as a CWL 1.2 workflow or an ecFlow suite, and say what is lost on the way.

    TWIN may be a file GRAPH.json with an openEO process graph.
    """
    with open_engine(load_settings(assignments=session.assignments)) as engine:
        given = parse_settings(options["values"])
        planned, name, place = _of_file(twin, given) if twin.endswith(".json") else _of_twin(engine, twin, graph, given)
    chosen_face = _FACES[options["face"]]
    files = chosen_face.export(planned, name, Path(folder), tuple(shlex.split(options["command"])), place)
    if options["as_json"]:
        emit({"files": [str(path) for path in files], "lost": list(chosen_face.LOST)})
        return
    for path in files:
        out.print(f"Wrote {path}", markup=False)
    out.print("\nLost on the way:")
    for line in chosen_face.LOST:
        out.print(f"  · {line}", markup=False)


def _of_twin(engine: Engine, twin: str, graph: str | None, given: dict[str, Any]) -> tuple[Plan, str, Path | None]:
    found = engine.twin(twin)
    chosen = found.graph(graph)
    arguments = resolve(found, chosen, given)
    require_valid(chosen, found.registry, arguments)
    return plan(chosen, found.registry, arguments), chosen.id, found.folder


def _of_file(name: str, given: dict[str, Any]) -> tuple[Plan, str, Path | None]:
    chosen, registry = Graph.from_json(read_graph(name)), Registry()
    require_valid(chosen, registry, given)
    return plan(chosen, registry, given), chosen.id, None


@click.command(epilog="Example:  gemel step plan.json runoff1 --folder values", hidden=True)
@click.argument("document", type=click.Path(exists=True, dir_okay=False))
@click.argument("task")
@click.option("--folder", required=True, type=click.Path(exists=True, file_okay=False), help="Values of other tasks.")
@click.option("--twin", type=click.Path(exists=True, file_okay=False), help="The twin whose processes the plan uses.")
@json_option
@click.pass_obj
def step(session: Session, document: str, task: str, folder: str, twin: str | None, as_json: bool) -> None:
    """Run TASK of the plan in DOCUMENT, which `gemel export` wrote, and leave its value in the folder."""
    try:
        content = json.loads(Path(document).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{document} is no JSON: {error}.") from error
    with open_engine(load_settings(assignments=session.assignments)) as engine:
        found = load_twin(Path(twin)) if twin else None
        planned = from_document(content, found.registry if found else Registry())
        base = found.folder if found else Path(document).parent
        written = run_task(planned, task, Path(folder), engine.services, base)
    if as_json:
        emit({"file": str(written)})
    else:
        out.print(f"Wrote {written}", markup=False)
