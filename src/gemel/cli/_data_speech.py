"""How the verbs of data speak: tables of datasets and transfers, progress with bytes and bandwidth, options they share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from gemel.base.sizes import spoken_size
from gemel.cli._speech import emit, err, out, parse_settings, table

Document = dict[str, Any]
_F = TypeVar("_F", bound=Callable[..., Any])
_COLUMNS = ("name", "kind", "size", "state", "licence", "storages")
_CODES = "Exit codes: 0 done, 1 error, 2 usage, 4 not found, 5 denied"
_QUIET_SECONDS = 1.0


def epilog(example: str, codes: str = "") -> str:
    """Return the end of a command's help."""
    return f"\b\nExample:  {example}\n{_CODES}{codes}"


def facts_options(function: _F) -> _F:
    """Return the command with the options of what may be said of a dataset: `meta`, `licence`, `lifetime`, `into`."""
    for option in (
        click.option("--into", metavar="SCOPE:NAME", help="A dataset to add it to, made when it is new."),
        click.option("--lifetime", help="How long it is wanted, such as '30 d'; default for ever."),
        click.option("--licence", help="As SPDX names it."),
        click.option("--meta", multiple=True, metavar="KEY=VALUE", help="A member of the metadata; may be repeated."),
    ):
        function = option(function)
    return function


def facts(given: Mapping[str, Any]) -> Document:
    """Return what was said of a dataset."""
    about = {name: given[name] for name in ("licence", "lifetime", "into")}
    return about | {"metadata": parse_settings(given["meta"])}


class Teller:
    """Tells on standard error how far something is, after its first second: in a bar on a terminal, else in lines.

    Args:
        what: Is going on.
        console: Where to.
        clock: Seconds.
    """

    def __init__(self, what: str, console: Console = err, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._console, self._clock = what, console, clock
        self._begun = self._last = clock()
        self._note: str | None = None
        self._bar: Progress | None = None

    def __enter__(self) -> Teller:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, told: Mapping[str, Any]) -> None:
        """Tell some of `bytes` done and `size` of them, `files` done and `of` how many, and a `note`."""
        now = self._clock()
        note = told.get("note")
        if note and note != self._note:
            self._note = note
            self._console.print(f"  [yellow]{escape(note)}[/]")
        if now - self._begun < _QUIET_SECONDS or (now - self._last < _QUIET_SECONDS and not self._console.is_terminal):
            return
        self._last = now
        line = self._line(told, now - self._begun)
        if self._console.is_terminal:
            self._draw(told, line)
        else:
            self._console.print(f"  [dim]… {escape(self._what)}: {line}[/]")

    def _line(self, told: Mapping[str, Any], seconds: float) -> str:
        parts = []
        done, size = told.get("bytes"), told.get("size")
        if done is not None:
            parts.append(spoken_size(done) + ("" if size is None else f" of {spoken_size(size)}"))
            parts.append(f"{spoken_size(done / seconds)}/s")
        if told.get("files") is not None:
            of = told.get("of")
            parts.append(f"{told['files']} files" if of is None else f"{told['files']} of {of} files")
        return ", ".join(parts)

    def _draw(self, told: Mapping[str, Any], line: str) -> None:
        if self._bar is None:
            said = [TextColumn(text, markup=False) for text in ("  {task.description}", "{task.fields[line]}")]
            self._bar = Progress(said[0], BarColumn(), said[1], console=self._console, transient=True)
            self._bar.add_task(self._what, total=None, line="")
            self._bar.start()
        task = self._bar.tasks[0].id
        total, done = (told.get(name) for name in (("size", "bytes") if told.get("size") else ("of", "files")))
        self._bar.update(task, total=total, completed=done or 0, line=line)


def show_datasets(found: Iterable[Document], as_json: bool, document: Any) -> None:
    """Print datasets as a table, or the document."""
    if as_json:
        emit(document)
        return
    rows = [
        (
            item["name"],
            item["kind"],
            spoken(item["size"]),
            item["state"],
            item["licence"],
            ", ".join(replica["storage"] for replica in item["replicas"]),
        )
        for item in found
    ]
    table(_COLUMNS, rows)


def show_transfers(found: Iterable[Document]) -> None:
    """Print transfers as a table that tells them apart."""
    rows = [(i["id"], i["name"], i["storage"], i["state"], _share(i), i["way"]) for i in found]
    table(("transfer", "name", "to", "state", "moved", "way"), rows)


def show_arrived(found: Iterable[Document]) -> None:
    """Print transfers that have ended as a table of what they brought."""
    rows = [
        (
            i["name"],
            i["storage"],
            i["state"],
            spoken(i["size"]),
            i["bandwidth"] and f"{spoken(i['bandwidth'])}/s",
            i["way"],
        )
        for i in found
    ]
    table(("name", "to", "state", "size", "bandwidth", "way"), rows)


def _share(transfer: Document) -> str:
    size = transfer["size"]
    return f"{transfer['moved'] / size:.0%}" if size else spoken_size(transfer["moved"])


def told(as_json: bool, document: Any, sentence: str) -> None:
    """Print the document, or a sentence that says what was done."""
    if as_json:
        emit(document)
    else:
        out.print(escape(sentence))


def spoken(size: float | None) -> str | None:
    """Return a number of bytes as people read it, or None."""
    return None if size is None else spoken_size(size)


def assigned(texts: Sequence[str], what: str) -> dict[str, str]:
    """Return options that were written `key=value`.

    Raises:
        click.UsageError: One is not.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"'{text}' is not an option of a {what}. Write key=value.")
        found[name] = value
    return found
