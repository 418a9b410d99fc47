"""gemel publish, gemel pull."""

from __future__ import annotations

import click

from gemel.cli._open import opened
from gemel.cli._root import Session
from gemel.cli._speech import emit, json_option, out


@click.command(epilog="Example:  gemel publish river")
@click.argument("twin")
@json_option
@click.pass_obj
def publish(session: Session, twin: str, as_json: bool) -> None:
    """Publish TWIN as an immutable version: a signed RO-Crate in the repository.

    A twin is published only when all its checks pass on exactly what is published.
    """
    with opened(session) as client:
        found = client.twins[twin].publish()
    if as_json:
        emit(found)
        return
    word = "Published" if found["new"] else "Already published, unchanged:"
    out.print(f"{word} {found['id']} {found['version']}: {found['path']}")


@click.command(epilog="Example:  gemel pull river --version 0.2.0")
@click.argument("twin")
@click.option("--version", help="Which version; the newest by default.")
@json_option
@click.pass_obj
def pull(session: Session, twin: str, version: str | None, as_json: bool) -> None:
    """Bring a published TWIN here, every file verified against its signed digest."""
    with opened(session) as client:
        found = client.pull(twin, version)
    if as_json:
        emit(found)
    else:
        out.print(
            f"Pulled {found['id']} {found['version']}, signed by key {found['key'][:12]}…. Next: gemel card {twin}"
        )
