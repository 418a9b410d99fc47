"""How commands speak: JSON on standard output when asked, else tables and sentences; progress on standard error."""

from __future__ import annotations

import functools
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_F = TypeVar("_F", bound=Callable[..., Any])
# Without emoji: the name of a dataset between colons would become a picture.
out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def json_option(function: _F) -> _F:
    """Return the command with the option `--json`, passed to it as `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="One JSON object on standard output, nothing else there."
    )(function)


def emit(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, ensure_ascii=False, default=str))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print a table; numbers shortened to four significant digits."""
    shown = Table(title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for number, column in enumerate(columns):
        # The first column holds what people copy: ids stay whole.
        shown.add_column(column, no_wrap=number == 0, overflow="fold")
    for row in rows:
        shown.add_row(*(escape(spell(cell)) for cell in row))
    out.print(shown)


def spell(value: Any) -> str:
    """Return a value as people read it.

    >>> spell(0.123456), spell(None), spell(True)
    ('0.1235', '–', 'yes')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "–"
    if isinstance(value, list):
        return "[" + ", ".join(map(spell, value)) + "]"
    return str(value)


class StepTeller:
    """Tells on standard error what the steps of a run do, one line a step; quiet when there is nothing to wait for."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._begun = time.monotonic()
        self._said: dict[str, float] = {}

    def __call__(self, change: dict[str, Any]) -> None:
        """Print one change."""
        if self._quiet:
            return
        step, state = change["step"], change["state"]
        if state == "finished" and not change.get("cached"):
            err.print(f"  [green]✓[/] {escape(step)} [dim]{change.get('seconds', 0.0):.2f} s[/]")
        elif state == "finished":
            err.print(f"  [dim]· {escape(step)} reused[/]")
        elif state == "failed":
            err.print(f"  [red]✗ {escape(step)}[/]")
        elif "fraction" in change and time.monotonic() - self._said.get(step, self._begun) > 1.0:
            self._said[step] = time.monotonic()
            message = f" {change['message']}" if change["message"] else ""
            err.print(f"  [dim]… {escape(step)} {change['fraction']:.0%}{escape(message)}[/]")


def parse_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Return parameter values given as `name=value`; a bare number becomes one, other text stays (it may hold a unit).

    Raises:
        click.UsageError: Something is not of that form.

    >>> parse_settings(["rain=1.3", "temperature=2 K"])
    {'rain': 1.3, 'temperature': '2 K'}
    """
    found: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"'{assignment}' is not an assignment. Write --set name=value.")
        found[name.strip()] = _value(text.strip())
    return found


def _value(text: str) -> Any:
    try:
        parsed = json.loads(text)
    except ValueError:
        return text
    return parsed if isinstance(parsed, (int, float, bool, list)) or parsed is None else text


@functools.cache
def is_terminal() -> bool:
    """Return whether a person sees standard error."""
    return sys.stderr.isatty()
