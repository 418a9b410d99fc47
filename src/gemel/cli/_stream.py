"""gemel stream: events as they come, dead letters, training buffers, the versions of a twin's state."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import click

from gemel.base.clock import iso, utc_now
from gemel.base.errors import InvalidInput
from gemel.base.ids import new_id
from gemel.cli._data_speech import epilog
from gemel.cli._open import opened
from gemel.cli._root import Session
from gemel.cli._speech import emit, err, json_option, out, parse_settings, table
from gemel.cli._stream_edge import edge

Document = dict[str, Any]
_MOST_SHOWN = 90


@click.group(epilog=epilog("gemel stream follow twins/earlywarning"))
def stream() -> None:
    """Events: list, read, follow and send; dead letters, buffers, states."""


stream.add_command(edge)


@stream.command("list", epilog=epilog("gemel stream list --json"))
@json_option
@click.pass_obj
def list_streams(session: Session, as_json: bool) -> None:
    """List the streams that hold events."""
    with opened(session) as client:
        found = client.streams.streams()
    if as_json:
        emit({"streams": found})
        return
    rows = [(item["name"], item["position"], item["time"], item["type"]) for item in found]
    table(("stream", "position", "newest", "type"), rows)


@stream.command(epilog=epilog("gemel stream show twins/earlywarning/gauge"))
@click.argument("name")
@json_option
@click.pass_obj
def show(session: Session, name: str, as_json: bool) -> None:
    """Show a stream: its bounds, and how far its groups are."""
    with opened(session) as client:
        found = client.streams.stream(name)
    if as_json:
        emit(found)
        return
    limits = found["limits"] or {}
    bound = ", ".join(
        f"{limits[key]:,} {key.removeprefix('limit_')}" for key in limits if key.startswith("limit_") and limits[key]
    )
    out.print(f"{name}: newest position {found['position']}, bound: {bound or 'none'}", markup=False)
    table(
        ("group", "position", "not acknowledged"),
        [(item["name"], item["position"], item["unacknowledged"]) for item in found["groups"]],
    )


@stream.command(epilog=epilog("gemel stream read twins/earlywarning/gauge --last 5"))
@click.argument("name")
@click.option("--after", type=int, default=0, help="A position: events after it.")
@click.option("--since", metavar="TIME", help="Events recorded at this instant or later.")
@click.option("--last", type=click.IntRange(1, 10_000), help="The last so many events.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most events.")
@json_option
@click.pass_obj
def read(  # noqa: PLR0913
    session: Session, name: str, after: int, since: str | None, last: int | None, limit: int, as_json: bool
) -> None:
    """Print events of a stream, oldest first."""
    with opened(session) as client:
        found = client.streams.events(name, -last if last else after, last or limit, since)
    _print(found, "events", as_json)


@stream.command(epilog=epilog("gemel --url http://127.0.0.1:8400 stream follow twins/earlywarning"))
@click.argument("name")
@click.option("--after", type=int, help="A position: begin with the events after it. Default: what comes from now on.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many events.")
@click.option("--timeout", type=float, help="End after so many seconds in which nothing came.")
@json_option
@click.pass_obj
def follow(
    session: Session, name: str, after: int | None, count: int | None, timeout: float | None, as_json: bool
) -> None:
    """Print events as they come, one JSON object a line with --json; Ctrl-C ends it."""
    left = count
    with opened(session) as client, contextlib.suppress(KeyboardInterrupt):
        for event in client.streams.tail(name, after, timeout):
            emit(event) if as_json else out.print(_line(event), markup=False)
            sys.stdout.flush()
            left = None if left is None else left - 1
            if left == 0:
                return


@stream.command(epilog=epilog("gemel stream send alarms level=3.2 --type my.alarm"))
@click.argument("name")
@click.argument("data", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--type", "kind", default="gemel.message", show_default=True, help="Type of the event.")
@click.option("--id", "identity", help="An id: the same one is taken once.")
@click.option("--file", type=click.File("rb"), help="Send CloudEvents from a JSON file instead; - for standard input.")
@json_option
@click.pass_obj
def send(  # noqa: PLR0913
    session: Session, name: str, data: tuple[str, ...], kind: str, identity: str | None, file: Any, as_json: bool
) -> None:
    """Send an event to a stream of your own; the engine's streams are fed by sources."""
    with opened(session) as client:
        found = client.streams.send(name, _from_file(file) if file else [_event(data, kind, identity)])
    if as_json:
        emit(found)
    else:
        out.print(f"{found['accepted']} accepted, {found['duplicates']} known already.")


@stream.command(epilog=epilog("gemel stream dead twins/earlywarning/gauge --replay"))
@click.argument("name")
@click.option("--replay", is_flag=True, help="Put them back into the stream.")
@click.option("--position", "positions", type=int, multiple=True, help="Only the letter at this position.")
@json_option
@click.pass_obj
def dead(session: Session, name: str, replay: bool, positions: tuple[int, ...], as_json: bool) -> None:
    """Show the dead letters of a stream, and why they are dead; or put them back."""
    with opened(session) as client:
        if replay:
            done = client.streams.replay(name, positions or None)
            emit(done) if as_json else out.print(f"{done['replayed']} put back, {done['left']} left.")
            return
        found = [item for item in client.streams.dead(name) if not positions or item["position"] in positions]
    if as_json:
        emit({"letters": found})
        return
    table(
        ("position", "time", "id", "reason"),
        [(item["position"], item["time"], item["id"], item["data"].get("reason")) for item in found],
    )


@stream.command(epilog=epilog("gemel stream states earlywarning --known 2026-11-01"))
@click.argument("twin")
@click.option("--count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Most versions.")
@click.option("--begin", metavar="TIME", help="Valid then or later.")
@click.option("--end", metavar="TIME", help="Valid then or earlier.")
@click.option("--known", metavar="TIME", help="Known by then: what was believed at that time.")
@json_option
@click.pass_obj
def states(  # noqa: PLR0913
    session: Session, twin: str, count: int, begin: str | None, end: str | None, known: str | None, as_json: bool
) -> None:
    """List versions of a twin's state: when they hold, when they became known, where from."""
    with opened(session) as client:
        found = client.streams.states(twin, count, begin, end, known)
    if as_json:
        emit({"states": found})
        return
    keys = ("sequence", "valid", "known", "run", "source")
    table(keys, [[item[key] for key in keys] for item in found])


@stream.command(epilog=epilog("gemel --url http://127.0.0.1:8400 stream buffers tank"))
@click.argument("twin")
@click.option("--fire", metavar="BUFFER", help="Train now with all that waits in this buffer.")
@click.option("--retry", metavar="BUFFER", help="Train once more with the batch of this buffer that failed.")
@json_option
@click.pass_obj
def buffers(session: Session, twin: str, fire: str | None, retry: str | None, as_json: bool) -> None:
    """Show the training buffers of a live twin; train now, or once more."""
    with opened(session) as client:
        if fire or retry:
            streams = client.streams
            batch = streams.fire_buffer(twin, fire) if fire else streams.retry_buffer(twin, str(retry))
            emit(batch) if as_json else out.print(f"Batch {batch['number']}: {batch['events']} events.")
            return
        found = client.streams.buffers(twin)
    if as_json:
        emit({"buffers": found})
        return
    for item in found:
        out.print(f"{item['name']}: {item['waiting']} events wait", markup=False)
        keys = ("number", "state", "events", "reason", "run", "created")
        table(keys, [[batch[key] for key in keys] for batch in item["batches"]])


def _event(data: tuple[str, ...], kind: str, identity: str | None) -> Document:
    return {
        "specversion": "1.0",
        "id": identity or new_id("event"),
        "type": kind,
        "source": "/cli",
        "time": iso(utc_now()),
        "data": parse_settings(data),
    }


def _from_file(file: Any) -> list[Document]:
    try:
        found = json.load(file)
    except ValueError as error:
        raise InvalidInput(f"{file.name} is not JSON: {error}.", hint="One CloudEvent, or a list of them.") from error
    return found if isinstance(found, list) else [found]


def _print(found: list[Document], name: str, as_json: bool) -> None:
    if as_json:
        emit({name: found})
        return
    for event in found:
        out.print(_line(event), markup=False)
    if not found:
        err.print("[dim]No event.[/]")


def _line(event: Document) -> str:
    data = json.dumps(event.get("data"), ensure_ascii=False)
    shown = data if len(data) <= _MOST_SHOWN else f"{data[:_MOST_SHOWN]}…"
    return f"{event['position']}  {event['time']}  {event['type']}  {shown}"
