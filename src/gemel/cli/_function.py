"""gemel function: processes that are deployed to be called."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from gemel.base.errors import StepFailed
from gemel.cli._data_speech import epilog
from gemel.cli._open import opened
from gemel.cli._root import Session
from gemel.cli._speech import emit, json_option, out, parse_settings, table

Document = dict[str, Any]
_COUNTS = ("queued", "running", "finished", "failed")


@click.group(epilog=epilog("gemel function deploy anomaly --process detect --twin tank --on twins/tank/level"))
def function() -> None:
    """A process that is called: deploy, call, replay dead letters, remove."""


@function.command("list", epilog=epilog("gemel function list --json"))
@json_option
@click.pass_obj
def list_functions(session: Session, as_json: bool) -> None:
    """List functions: what they run, their calls, their instances."""
    with opened(session) as client:
        found = client.functions.list()
    if as_json:
        emit({"functions": found})
        return
    rows = []
    for item in found:
        about, counts = item["function"], item["status"] or {}
        runs = about.get("process") or about.get("graph") or "script"
        rows.append((about["name"], runs, about.get("on") or "", *(counts.get(state, 0) for state in _COUNTS)))
    table(("function", "runs", "on", *_COUNTS), rows)


@function.command(epilog=epilog("gemel function deploy plus --process add --set y=4 --timeout 10"))
@click.argument("name")
@click.option("--process", metavar="PROCESS", help="A registered process, or one of --twin.")
@click.option("--graph", metavar="GRAPH", help="A graph of --twin.")
@click.option("--script", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A shell script.")
@click.option("--twin", metavar="TWIN", help="Whose process or graph it is.")
@click.option("--on", metavar="STREAM", help="A stream, each event of which is a call.")
@click.option("--set", "arguments", metavar="NAME=VALUE", multiple=True, help="An argument that is always so.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Most calls at the same time.")
@click.option("--minimum", type=click.IntRange(min=0), help="Instances that always stand ready; none by default.")
@click.option("--idle", type=float, help="Seconds until an instance without work goes.")
@click.option("--timeout", type=float, help="Seconds that a call may take.")
@click.option("--attempts", type=click.IntRange(min=1), help="Attempts until a call is a dead letter.")
@click.option("--replace", is_flag=True, help="Change the one of this name.")
@json_option
@click.pass_obj
def deploy(session: Session, /, name: str, replace: bool, as_json: bool, **given: Any) -> None:
    """Deploy a process, a graph or a script as a function."""
    document: Document = {"name": name} | {key: value for key, value in given.items() if value not in (None, ())}
    if "arguments" in document:
        document["arguments"] = parse_settings(document["arguments"])
    if "script" in document:
        document["script"] = document["script"].read_text()
    with opened(session) as client:
        found = client.functions.deploy(document, replace=replace)
    if as_json:
        emit(found)
    else:
        out.print(f"Deployed '{name}'. Call it: gemel function call {name}", markup=False)


@function.command(epilog=epilog("gemel --url http://127.0.0.1:8400 function call plus --set x=3"))
@click.argument("name")
@click.option("--set", "values", metavar="NAME=VALUE", multiple=True, help="An argument of this call.")
@click.option("--file", type=click.File("rb"), help="Input as it is; - for standard input.")
@click.option("--cause", help="What it is for: a second call for the same cause is the first.")
@click.option("--wait", type=float, default=60.0, show_default=True, help="Seconds to wait for its end; 0 for none.")
@json_option
@click.pass_obj
def call(  # noqa: PLR0913
    session: Session, name: str, values: tuple[str, ...], file: Any, cause: str | None, wait: float, as_json: bool
) -> None:
    """Call a function; a serving engine runs it, or this one while it waits."""
    data = file.read() if file else parse_settings(values)
    with opened(session) as client:
        if session.url is None and wait:
            _work_here(client)
        found = client.functions.invoke(name, data, cause=cause, wait=wait)
    if as_json:
        emit(found)
        return
    if found["state"] == "failed":
        reason = (found["error"] or {}).get("message")
        raise StepFailed(f"Call {found['id']} failed: {reason}", hint=f"gemel function log {found['id']}")
    output = found["output"] or {}
    shown = (
        json.dumps(output["value"], ensure_ascii=False) if "value" in output else output.get("base64", found["state"])
    )
    out.print(shown, markup=False)


@function.command(epilog=epilog("gemel function calls plus --state failed"))
@click.argument("name")
@click.option("--state", type=click.Choice(_COUNTS), help="Only those in this state; failed ones are dead letters.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most calls.")
@json_option
@click.pass_obj
def calls(session: Session, name: str, state: str | None, limit: int, as_json: bool) -> None:
    """List the calls of a function, newest first."""
    with opened(session) as client:
        found = client.functions.calls(name, state, limit)
    if as_json:
        emit({"calls": found})
        return
    keys = ("id", "state", "attempts", "cause", "error")
    table(("call", *keys[1:]), [[item.get(key) for key in keys] for item in found])


@function.command(epilog=epilog("gemel function replay plus"))
@click.argument("name")
@click.option("--call", "one", metavar="CALL", help="Only this one.")
@json_option
@click.pass_obj
def replay(session: Session, name: str, one: str | None, as_json: bool) -> None:
    """Put dead letters of a function back into its queue."""
    with opened(session) as client:
        found = client.functions.replay(name, one)
    emit({"calls": found}) if as_json else out.print(f"{len(found)} calls wait again.")


@function.command(epilog=epilog("gemel function log call-…"))
@click.argument("call_id", metavar="CALL")
@json_option
@click.pass_obj
def log(session: Session, call_id: str, as_json: bool) -> None:
    """Print the end of what a call printed."""
    with opened(session) as client:
        found = client.functions.logs(call_id)
    emit({"log": found}) if as_json else sys.stdout.write(found)


@function.command(epilog=epilog("gemel function remove plus"))
@click.argument("name")
@json_option
@click.pass_obj
def remove(session: Session, name: str, as_json: bool) -> None:
    """Remove a function and its calls."""
    with opened(session) as client:
        client.functions.remove(name)
    emit({"removed": name}) if as_json else out.print(f"Removed '{name}'.", markup=False)


def _work_here(client: Any) -> None:
    client.transport.engine.functions.start()
