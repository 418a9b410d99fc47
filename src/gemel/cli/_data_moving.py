"""gemel data copy, move, transfers, cancel, changes: what is on its way, and what happened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import click
from rich.markup import escape

from gemel.cli._data_speech import Document, Teller, epilog, show_arrived, show_transfers, spoken, told
from gemel.cli._open import opened
from gemel.cli._root import Session
from gemel.cli._speech import emit, err, json_option, out, table
from gemel.sdk import Client, TransfersHandle

_STATES = ("queued", "running", "done", "failed", "cancelled")
_later = click.option("--later", is_flag=True, help="Only queue it; an engine that serves works on it.")
_priority = click.option("--priority", type=click.IntRange(-1000, 1000), default=0, help="Higher ones go first.")


@click.command(epilog=epilog("gemel data copy fulda:rain.nc archive"))
@click.argument("names", metavar="SCOPE:NAME...", nargs=-1, required=True)
@click.argument("storage")
@_later
@_priority
@json_option
@click.pass_obj
def copy(session: Session, names: tuple[str, ...], storage: str, later: bool, priority: int, as_json: bool) -> None:
    """Give SCOPE:NAME another verified replica on STORAGE."""
    with opened(session) as client:
        _carry(client, client.data.copy(names, storage, priority=priority), later, as_json)


@click.command(epilog=epilog("gemel data move fulda:rain.nc archive"))
@click.argument("names", metavar="SCOPE:NAME...", nargs=-1, required=True)
@click.argument("storage")
@_later
@_priority
@json_option
@click.pass_obj
def move(session: Session, names: tuple[str, ...], storage: str, later: bool, priority: int, as_json: bool) -> None:
    """Move SCOPE:NAME to STORAGE; old replicas go once the new one was compared."""
    with opened(session) as client:
        _carry(client, client.data.move(names, storage, priority=priority), later, as_json)


def _carry(client: Client, handle: TransfersHandle, later: bool, as_json: bool) -> None:
    if later:
        sentence = f"Queued, {len(handle.ids)} in all; an engine that serves works on it: gemel data transfers"
        told(as_json, {"transfers": handle.documents}, sentence)
        return
    _wait(handle)
    if as_json:
        names = dict.fromkeys(item["name"] for item in handle.documents)
        emit({"transfers": handle.documents, "datasets": [client.data.get(name) for name in names]})
    else:
        show_arrived(handle.documents)


def _wait(handle: TransfersHandle) -> None:
    what = "1 file" if len(handle.ids) == 1 else f"{len(handle.ids)} files"
    try:
        with Teller(f"moving {what}") as teller:
            handle.wait(teller)
    except KeyboardInterrupt:
        err.print("\n[dim]What is not done stays queued: gemel data transfers, gemel data cancel ID[/]")
        raise


@click.command(epilog=epilog("gemel data transfers --state failed"))
@click.argument("id", required=False)
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--name", metavar="SCOPE:NAME", help="Only those of this file.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--wait", is_flag=True, help="Of one transfer: follow it until it ends.")
@json_option
@click.pass_obj
def transfers(session: Session, /, id: str | None, wait: bool, as_json: bool, **chosen: Any) -> None:
    """List transfers, newest first, or show the one called ID."""
    with opened(session) as client:
        if id is None:
            found = client.data.transfers(chosen["state"], chosen["name"], chosen["limit"])
            if as_json:
                emit({"transfers": found})
            else:
                show_transfers(found)
            return
        handle = client.data.transfer(id)
        if wait:
            _wait(handle)
        document = handle.documents[0]
    if as_json:
        emit(document)
    else:
        _show_one(document)


def _show_one(item: Document) -> None:
    rows: list[tuple[str, Any]] = [(key, item[key]) for key in ("id", "name", "storage", "state", "attempts")]
    rows += [("to stay", "there only" if item["only"] else "there, too"), ("priority", item["priority"])]
    rows += [("from", item["source"]), ("way", item["way"]), ("because", item["reason"]), ("asked by", item["cause"])]
    rows += [("moved", f"{spoken(item['moved'])} of {spoken(item['size'])}"), ("created", item["created"])]
    rows += [("started", item["started"]), ("ended", item["ended"])]
    table(("", ""), rows)
    if item["error"]:
        err.print(f"[red]{escape(item['error']['message'])}[/]")
        if item["error"]["hint"]:
            err.print(f"  → {escape(item['error']['hint'])}")


@click.command(epilog=epilog("gemel data cancel transfer-01jd…"))
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@click.pass_obj
def cancel(session: Session, ids: tuple[str, ...], as_json: bool) -> None:
    """Stop transfers; what was half-written is removed."""
    with opened(session) as client:
        found = [client.data.transfer(id).cancel().documents[0] for id in ids]
    if as_json:
        emit({"transfers": found})
        return
    for item in found:
        stands = "will stop in a moment" if item["state"] == "running" else f"is {item['state']}"
        out.print(escape(f"The transfer of '{item['name']}' to '{item['storage']}' {stands}."))


@click.command(epilog=epilog("gemel data changes fulda:rain.nc --records"))
@click.argument("name", metavar="[SCOPE:NAME]", required=False)
@click.option("--after", type=click.IntRange(0), default=0, help="Only what happened after this number.")
@click.option("--follow", is_flag=True, help="Go on telling until Ctrl-C, with --json one object a line.")
@click.option("--records", is_flag=True, help="JSON in the form of S3's event notifications.")
@json_option
@click.pass_obj
def changes(session: Session, /, name: str | None, after: int, as_json: bool, **how: bool) -> None:
    """Tell what happened to datasets (to SCOPE:NAME), oldest first: new, changed, verified, lost, removed."""
    with opened(session) as client, _ended_by_hand(how["follow"]):
        found = client.data.changes(name, after=after, follow=how["follow"])
        if how["follow"]:
            for change in found:
                _tell_change(change, as_json, how["records"])
        elif how["records"]:
            emit({"Records": [record for change in found for record in change["Records"]]})
        elif as_json:
            emit({"changes": list(found)})
        else:
            rows = [_row(change) for change in found]
            table(("number", "time", "what", "name", "storage", "more"), rows)


@contextlib.contextmanager
def _ended_by_hand(follows: bool) -> Iterator[None]:
    # Ctrl-C is how people end what goes on for ever, and no error.
    try:
        yield
    except KeyboardInterrupt:
        if not follows:
            raise


def _tell_change(change: Document, as_json: bool, records: bool) -> None:
    if records:
        emit({"Records": change["Records"]})
    elif as_json:
        emit(change)
    else:
        out.print("  ".join(str(cell) for cell in _row(change) if cell not in (None, "")), markup=False)


def _row(change: Document) -> tuple[Any, ...]:
    more = change.get("reason") or change.get("change") or spoken(change.get("size")) or ""
    return change["number"], change["time"], change["type"], change["name"], change["storage"], more
