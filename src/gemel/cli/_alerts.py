"""gemel alerts: what was warned of, as messages for others too, and where warnings go."""

from __future__ import annotations

from typing import Any

import click

from gemel.cli._data_speech import epilog
from gemel.cli._open import opened
from gemel.cli._root import Session
from gemel.cli._speech import emit, json_option, out, table

Document = dict[str, Any]


@click.command(epilog=epilog("gemel alerts earlywarning --cap 4711"))
@click.argument("twin", required=False)
@click.option("--count", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most alerts.")
@click.option("--cap", "position", type=int, metavar="POSITION", help="Print this alert of TWIN as a CAP 1.2 message.")
@click.option("--outlets", is_flag=True, help="Show where alerts go instead: sent, waiting, what is wrong.")
@json_option
@click.pass_obj
def alerts(session: Session, twin: str | None, count: int, position: int | None, outlets: bool, as_json: bool) -> None:
    """List alerts, newest first; print one as a CAP message; show where they go."""
    if position is not None and twin is None:
        raise click.UsageError("Say whose alert it is: gemel alerts TWIN --cap POSITION.")
    with opened(session) as client:
        if position is not None:
            message = client.alerts.cap(str(twin), position)
            emit({"cap": message}) if as_json else click.echo(message)
            return
        found = client.alerts.outlets() if outlets else client.alerts.alerts(twin, count)
    if as_json:
        emit({"outlets" if outlets else "alerts": found})
    elif outlets:
        _show_outlets(found)
    else:
        _show_alerts(found)


def _show_alerts(found: list[Document]) -> None:
    keys = ("event", "place", "level", "probability", "valid")
    rows = [(item["position"], item["subject"], *(item["data"].get(key) for key in keys)) for item in found]
    table(("position", "twin", *keys), rows)


def _show_outlets(found: list[Document]) -> None:
    if not found:
        out.print("No outlet: declare [alerts.NAME] in twin.toml, and keep the twin live.", markup=False)
        return
    keys = [key for key in found[0] if key != "problem"]
    rows = [(*(item[key] for key in keys), (item["problem"] or {}).get("message")) for item in found]
    table((*keys, "problem"), rows)
