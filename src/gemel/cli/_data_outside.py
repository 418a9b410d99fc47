"""gemel data stac and rucio: catalogues of others, in the engine's own folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import click

from gemel.base.errors import InvalidInput
from gemel.cli._data_speech import assigned, epilog
from gemel.cli._root import EXIT_CODES, Session
from gemel.cli._speech import emit, err, json_option, out, table
from gemel.core.engine import Engine, open_engine
from gemel.infra.lake.catalogue import import_catalogue, search_many
from gemel.infra.lake.collections import area, interval
from gemel.infra.lake.rucio import Matching, Report

_box = click.option("--bbox", metavar="WEST,SOUTH,EAST,NORTH", help="Degrees.")
_time = click.option("--time", "times", metavar="BEGIN/END", help="Dates or instants; '..' for an open end.")


@contextlib.contextmanager
def _engine(session: Session) -> Iterator[Engine]:
    if session.url:
        hint = "Leave --url (GEMEL_URL) out, and name the engine's folder in GEMEL_HOME."
        raise InvalidInput("This is done where the engine's folder is, not over its address.", hint=hint)
    with open_engine(assignments=session.assignments) as engine:
        yield engine


# Outside STAC catalogues


@click.group(epilog=epilog("gemel data stac search https://… --collection scenes --bbox 5,45,10,50"))
def stac() -> None:
    """STAC catalogues of others: search several at once, or bring one in."""


@stac.command(
    epilog=epilog("gemel data stac search https://one/ https://two/ --collection scenes --time 2020-06-01/..")
)
@click.argument("endpoints", metavar="URL...", nargs=-1, required=True)
@click.option("--collection", "collections", multiple=True, help="May be repeated.")
@_box
@_time
@click.option("--limit", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Items of each.")
@json_option
def search(endpoints: tuple[str, ...], as_json: bool, **wanted: Any) -> None:
    """Search STAC APIs at the same time; one that is dead is reported, and the others answer."""
    asked: dict[str, Any] = {"limit": wanted["limit"]}
    asked |= {"collections": list(wanted["collections"])} if wanted["collections"] else {}
    asked |= {"bbox": _numbers(wanted["bbox"])} if wanted["bbox"] else {}
    asked |= {"datetime": wanted["times"]} if wanted["times"] else {}
    answers = search_many(endpoints, asked)
    if as_json:
        shown = [{"endpoint": one.endpoint, "problem": one.problem or None, "items": one.items} for one in answers]
        emit({"answers": shown})
    else:
        rows = [(item.get("id"), _moment(item), one.endpoint) for one in answers for item in one.items]
        table(("item", "time", "endpoint"), rows)
    for answer in answers:
        if answer.problem:
            err.print(f"[yellow]{answer.problem}[/]", markup=True)
    if not any(not answer.problem for answer in answers):
        raise SystemExit(EXIT_CODES["error"])


@stac.command("import", epilog=epilog("gemel data stac import https://…/collection.json --as scenes"))
@click.argument("url")
@click.option("--as", "name", metavar="COLLECTION", help="What it is called here; default its own id.")
@_box
@_time
@json_option
@click.pass_obj
def import_(session: Session, /, url: str, name: str | None, as_json: bool, **wanted: Any) -> None:
    """Bring the documents of an outside Collection into the catalogue; its assets stay where they are."""
    box = (
        dict(zip(("west", "south", "east", "north"), _numbers(wanted["bbox"]), strict=False))
        if wanted["bbox"]
        else None
    )
    with _engine(session) as engine:
        parts = {"area": area(box), "interval": interval(_ends(wanted["times"]))}
        brought = import_catalogue(engine.catalogue, url, name, **parts)  # type: ignore[arg-type]
    if as_json:
        emit(brought.document())
    else:
        out.print(f"{brought.items} items are in the collection '{brought.collection}'.", markup=False)


# Rucio


@click.group(epilog=epilog("gemel data rucio send grid hydro:all --rse store=SITE_DISK"))
def rucio() -> None:
    """Rucio: our datasets, replicas and rules there, theirs here; through a storage of the kind rucio."""


@rucio.command(epilog=epilog("gemel data rucio send grid hydro:all --rse store=SITE_DISK", ", 3 some were refused"))
@click.argument("through")
@click.argument("names", metavar="SCOPE:NAME...", nargs=-1, required=True)
@click.option("--rse", "rses", metavar="STORAGE=RSE", multiple=True, help="A storage here that is an RSE there.")
@click.option("--scope", "scopes", metavar="OURS=THEIRS", multiple=True, help="Scopes that are called otherwise there.")
@click.option("--no-rules", is_flag=True, help="Leave rules out.")
@json_option
@click.pass_obj
def send(session: Session, /, through: str, names: tuple[str, ...], no_rules: bool, as_json: bool, **same: Any) -> None:
    """Let Rucio know NAMES, what is below them, their replicas and rules."""
    with _engine(session) as engine:
        report = engine.lake.rucio(through, _matching(same)).seen_there(names, rules=not no_rules)
    _tell(report, as_json)


@rucio.command(epilog=epilog("gemel data rucio fetch grid their.scope 'run2*'", ", 3 some were refused"))
@click.argument("through")
@click.argument("scope")
@click.argument("pattern", default="*")
@click.option("--rse", "rses", metavar="STORAGE=RSE", multiple=True, help="A storage here that is an RSE there.")
@click.option("--scope", "scopes", metavar="OURS=THEIRS", multiple=True, help="Scopes that are called otherwise there.")
@json_option
@click.pass_obj
def fetch(session: Session, /, through: str, scope: str, pattern: str, as_json: bool, **same: Any) -> None:
    """Register what Rucio has of a SCOPE, with its replicas and digests; no bytes are moved."""
    with _engine(session) as engine:
        report = engine.lake.rucio(through, _matching(same)).seen_here(scope, pattern)
    _tell(report, as_json)


@rucio.command(epilog=epilog("gemel data rucio lend grid store SITE_DISK"))
@click.argument("through")
@click.argument("storage")
@click.argument("rse")
@json_option
@click.pass_obj
def lend(session: Session, through: str, storage: str, rse: str, as_json: bool) -> None:
    """Make the RSE there that is our STORAGE; the account must be an administrator's."""
    with _engine(session) as engine:
        engine.lake.rucio(through).lend(storage, rse)
    if as_json:
        emit({"storage": storage, "rse": rse})
    else:
        out.print(f"Storage '{storage}' is the RSE {rse} there.", markup=False)


def _matching(same: Mapping[str, Any]) -> Matching:
    return Matching(dict(assigned(same["rses"], "pair")), dict(assigned(same["scopes"], "pair")))


def _tell(report: Report, as_json: bool) -> None:
    if as_json:
        emit(report.document())
    else:
        out.print(f"{len(report.new)} new, {len(report.known)} known, {len(report.refused)} refused.", markup=False)
        for note in report.notes:
            err.print(note, markup=False)
        table(("refused", "why"), [(item.name, item.reason) for item in report.refused]) if report.refused else None
    if report.refused:
        raise SystemExit(EXIT_CODES["check failed"])


def _numbers(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != 4:
        raise click.UsageError(f"'{text}' is no box. Write --bbox WEST,SOUTH,EAST,NORTH in degrees.")
    return found


def _ends(text: str | None) -> list[str | None] | None:
    if text is None:
        return None
    begin, _, end = text.partition("/")
    return [None if part in ("", "..") else part for part in (begin, end)]


def _moment(item: Mapping[str, Any]) -> Any:
    properties = item.get("properties") or {}
    return properties.get("datetime") or properties.get("start_datetime")
