"""gemel config, plugins, doctor."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from gemel.base.config import load_settings
from gemel.base.errors import GemelError
from gemel.base.plugins import GROUPS
from gemel.base.plugins import plugins as group_of
from gemel.cli._root import EXIT_CODES, Session
from gemel.cli._speech import emit, json_option, out, table
from gemel.infra.compute import confinement
from gemel.infra.store import open_store

_OPTIONAL = (
    ("rasterio", "data", "GeoTIFF, warping"),
    ("xvec", "data", "vector cubes"),
    ("cwltool", "cwl", "CWL tools"),
    ("pg8000", "postgres", "journal on PostgreSQL"),
    ("paho", "streams", "sources on MQTT and NATS"),
)


@click.group()
def config() -> None:
    """Show the settings in force."""


@config.command(epilog="Example:  gemel config show --origin")
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@json_option
@click.pass_obj
def show(session: Session, origin: bool, as_json: bool) -> None:
    """Print each setting, its value, and its origin."""
    items = list(load_settings(assignments=session.assignments).items())
    if as_json:
        emit({"settings": [{"name": name, "value": value, "origin": where} for name, value, where in items]})
        return
    columns = ("setting", "value", "origin") if origin else ("setting", "value")
    table(columns, [item[: len(columns)] for item in items])


@click.command(epilog="Example:  gemel plugins sources")
@click.argument("kind", required=False, type=click.Choice(list(GROUPS)))
@json_option
def plugins(kind: str | None, as_json: bool) -> None:
    """List plugins (of one KIND), their distribution, and whether they load."""
    statuses = [status for name in ([kind] if kind else GROUPS) for status in group_of(name).status()]
    if as_json:
        emit({"plugins": [asdict(status) for status in statuses]})
        return
    rows = [(s.group, s.name, f"{s.distribution} {s.version}", s.problem or "ok") for s in statuses]
    table(("kind", "name", "from", "health"), rows)


@click.command(epilog="Example:  gemel doctor")
@json_option
@click.pass_obj
def doctor(session: Session, as_json: bool) -> None:
    """Say what works here, what is missing, and the command that adds it; exit code 1 when something needed is missing."""
    found = list(_examine(session))
    if as_json:
        emit({"examined": found, "healthy": all(item["ok"] or not item["needed"] for item in found)})
    else:
        rows = [("✓" if item["ok"] else "✗", item["what"], item["state"], item["remedy"] or "") for item in found]
        table(("", "what", "state", "remedy"), rows)
        out.print(
            "Everything needed is here." if all(i["ok"] or not i["needed"] for i in found) else "Something is missing."
        )
    if any(item["needed"] and not item["ok"] for item in found):
        raise SystemExit(EXIT_CODES["error"])


def _examine(session: Session) -> Iterator[dict[str, Any]]:
    settings = load_settings(assignments=session.assignments)
    python = ".".join(map(str, sys.version_info[:3]))
    yield _item("Python", sys.version_info >= (3, 11), python, "install Python 3.11 or later")
    yield _store(settings.store_url)
    free = shutil.disk_usage(settings.home if settings.home.exists() else settings.home.parent.parent).free / 1e9
    yield _item("free space", free > 1.0, f"{free:.1f} GB", "free some space or set GEMEL_HOME")
    broken = [status for name in GROUPS for status in group_of(name).status() if not status.healthy]
    state = "all load" if not broken else ", ".join(f"{status.group}/{status.name}" for status in broken)
    yield _item("plugins", not broken, state, "gemel plugins", needed=False)
    confined = confinement() == "bubblewrap"
    remedy = "apt install bubblewrap"
    yield _item("box for foreign code", confined, "bubblewrap" if confined else "refused", remedy, needed=False)
    for module, extra, purpose in _OPTIONAL:
        there = importlib.util.find_spec(module) is not None
        yield _item(purpose, there, "installed" if there else "absent", f"pip install 'gemel[{extra}]'", needed=False)


def _store(url: str) -> dict[str, Any]:
    try:
        open_store(url).close()
    except GemelError as error:
        return _item("journal", False, error.message, error.hint or "gemel config show")
    return _item("journal", True, url.split("://")[0], None)


def _item(what: str, ok: bool, state: str, remedy: str | None, *, needed: bool = True) -> dict[str, Any]:
    return {"what": what, "ok": ok, "state": state, "remedy": None if ok else remedy, "needed": needed}
