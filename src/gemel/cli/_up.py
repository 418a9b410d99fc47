"""gemel up: the engine, its pages, and with --demo a living twin."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import click

from gemel.base.config import load_settings
from gemel.base.errors import GemelError
from gemel.cli._pages import engine_pages
from gemel.cli._root import EXIT_CODES, Session, leave
from gemel.cli._runs import print_alert, print_plume
from gemel.cli._speech import StepTeller, emit, err, json_option, out
from gemel.core.engine import Engine, Service, open_engine
from gemel.core.twin import Twin
from gemel.server import bind, create_app, serve

DEMO_TWIN = "earlywarning"
_ONCE_DAYS = 30
_FIRST_UPDATE_TRIES = 150


@click.command(epilog="Example:  gemel up --demo")
@click.option("--demo", is_flag=True, help="Keep the flood early-warning twin live on a real river record.")
@click.option("--live", "live", metavar="TWIN", multiple=True, help="Keep this twin in step with its sources.")
@click.option("--once", is_flag=True, help="Do the job once without a server: follow, forecast, check, print, end.")
@click.option("--again", is_flag=True, help="Forget the live state and follow the sources from their beginning.")
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (default 8400).")
@json_option
@click.pass_obj
def up(  # noqa: PLR0913 - one parameter for each option of the command
    session: Session,
    demo: bool,
    live: tuple[str, ...],
    once: bool,
    again: bool,
    host: str | None,
    port: int | None,
    as_json: bool,
) -> None:
    """Start the engine and its pages; Ctrl-C stops it, and the next start goes on from there."""
    assignments = list(session.assignments)
    assignments += [f"server.host={host}"] if host else []
    assignments += [f"server.port={port}"] if port is not None else []
    names = list(dict.fromkeys([*live, *([DEMO_TWIN] if demo else [])]))
    settings = load_settings(assignments=assignments)
    if once:
        with open_engine(settings) as engine:
            name = names[0] if names else DEMO_TWIN
            if again:
                engine.begin_again(engine.twin(name))
            _once(engine, name, as_json)
        return
    # The address is taken before anything is started, so that a port in use costs nothing.
    listener = bind(settings.server.host, settings.server.port)
    with contextlib.closing(listener), open_engine(settings) as engine:
        for name in names if again else ():
            engine.begin_again(engine.twin(name))
        _prepare(engine, names)
        engine.serve()
        address = f"http://{settings.server.host}:{listener.getsockname()[1]}"
        # Ctrl-C is how people end it, and no error.
        with contextlib.suppress(KeyboardInterrupt):
            serve(create_app(Service(engine), engine_pages()), listener, lambda: _announce(address, names, as_json))
        err.print("[dim]Stopping; the next start goes on from here.[/]")
    leave(0)


def _prepare(engine: Engine, names: list[str]) -> None:
    for run_id in engine.recover():
        err.print(f"[dim]Going on with interrupted run {run_id}[/]")
    for name in names:
        twin = engine.twin(name)
        _train(engine, name)
        live = engine.go_live(twin)
        # The page that opens first should find a forecast to draw.
        for _ in range(_FIRST_UPDATE_TRIES):
            status = live.status()
            if status.sequence or status.problem:
                break
            threading.Event().wait(0.1)
        if engine.reports.latest(twin.id, twin.content) is None:
            # The page is up meanwhile, and shows the quality line once the checks are through.
            threading.Thread(target=_check, args=(engine, twin), name="gemel-check", daemon=True).start()


def _check(engine: Engine, twin: Twin) -> None:
    with contextlib.suppress(GemelError, RuntimeError):
        engine.check(twin)


def _train(engine: Engine, name: str) -> None:
    # The first update would otherwise fit its models while the page looks stuck.
    twin = engine.twin(name)
    if "train" in twin.graphs:
        err.print(f"[dim]Preparing the models of {name} (only the first time) …[/]")
        run_id = engine.start(twin, "train")
        teller = StepTeller(quiet=False)
        for change in engine.runs.watch(run_id):
            teller(change)
        run = engine.finish(run_id)
        if run.state != "finished":
            problem = run.error or {"message": f"The training ended as {run.state}."}
            raise GemelError(str(problem["message"]), hint=problem.get("hint"))


def _announce(address: str, names: list[str], as_json: bool) -> None:
    if as_json:
        emit({"url": address, "live": names})
        return
    if names:
        err.print(f"Live: {', '.join(names)}")
    out.print(f"Open {address}")
    err.print("[dim]Ctrl-C stops the engine.[/]")


def _once(engine: Engine, name: str, as_json: bool) -> None:
    twin = engine.twin(name)
    _train(engine, name)
    if not as_json:
        err.print(f"[dim]Following {_ONCE_DAYS} days of observations of {twin.manifest.physical.title} …[/]")
    live = engine.go_live(twin, {"speed": "max", "count": _ONCE_DAYS})
    live.wait_finished()
    status = live.status()
    if status.problem:
        raise GemelError(str(status.problem["message"]), hint=status.problem.get("hint"))
    if not as_json:
        err.print("[dim]Checking …[/]")
    report = engine.check(twin)
    assert status.run is not None
    run = engine.runs.journal.get(status.run)
    service = Service(engine)
    folder = _save(service, run.id, engine.settings.home / "outputs" / twin.id)
    if as_json:
        emit(service.run(run.id) | {"folder": str(folder), "report": report.document()})
    else:
        _print(service.views(twin.id, run.id), folder, report.passed)
    if not report.passed:
        raise SystemExit(EXIT_CODES["check failed"])


def _save(service: Service, run_id: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for output in service.run(run_id)["outputs"]:
        data, _ = service.output_bytes(run_id, output["name"])
        suffix = ".nc" if output["format"] == "netcdf" else ".json"
        (folder / f"{output['name']}{suffix}").write_bytes(data)
    return folder


def _print(views: list[dict[str, Any]], folder: Path, passed: bool) -> None:
    for view in views:
        if view["kind"] == "plume" and view["quantiles"]["time"]:
            print_plume(view)
        elif view["kind"] == "alerts":
            for alert in view["alerts"]:
                print_alert(alert)
            if not view["alerts"]:
                out.print("No alert.")
        elif view["kind"] == "quality":
            out.print(f"\nQuality: {view['line']}")
    out.print("All checks passed." if passed else "Not all checks passed: gemel check")
    out.print(f"Outputs: {folder}")
