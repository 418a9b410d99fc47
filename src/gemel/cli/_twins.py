"""gemel twins, gemel card."""

from __future__ import annotations

import click
from rich.console import Console
from rich.markdown import Markdown

from gemel.cli._open import opened
from gemel.cli._root import Session
from gemel.cli._speech import emit, err, json_option, out, table


@click.command(epilog="Example:  gemel twins --json")
@json_option
@click.pass_obj
def twins(session: Session, as_json: bool) -> None:
    """List the twins that can be used: here, pulled, and installed."""
    with opened(session) as client:
        found = client.transport.twins()
    if as_json:
        emit({"twins": found})
        return
    good = [twin for twin in found if twin["problem"] is None]
    table(("twin", "version", "title", "live"), [(t["id"], t["version"], t["title"], t["live"]) for t in good])
    for twin in found:
        if twin["problem"]:
            err.print(f"[red]{twin['id']}[/]: {twin['problem']}")


@click.command(epilog="Example:  gemel card earlywarning")
@click.argument("twin")
@json_option
@click.pass_obj
def card(session: Session, twin: str, as_json: bool) -> None:
    """Show TWIN's card: purpose, data, quality, limits, licence, and its parameters."""
    with opened(session) as client:
        handle = client.twins[twin]
        document, text = handle.document, handle.card()
    if as_json:
        emit(document | {"card": text})
        return
    (Console() if text else out).print(Markdown(text) if text else f"{document['title']} has no card.")
    rows = [
        (p["name"], p["title"], p["default"], p["minimum"], p["maximum"], p["unit"]) for p in document["parameters"]
    ]
    if rows:
        out.print()
        table(("parameter", "meaning", "default", "least", "most", "unit"), rows)
    out.print(f"\nGraphs: {', '.join(document['graphs'])}. Run the main one: gemel run {document['id']}")
