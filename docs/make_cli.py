"""Writes `docs/reference/cli.md` from the commands themselves: ``python docs/make_cli.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from gemel.cli._root import EXIT_CODES, root

PAGE = Path(__file__).parent / "reference" / "cli.md"
_WIDTH = 100

_HEAD = """# The command line

This page is made from the commands by `python docs/make_cli.py`; a test fails when it is not current.

Results go to standard output, progress and errors to standard error. With `--json` a command prints one JSON object on
standard output and nothing else there; an error is `{{"error": {{"code", "message", "hint", "context"}}}}` (see
[errors](../errors.md)). Without `--url` a command opens the engine in the folder `GEMEL_HOME` itself; with it, or with
`GEMEL_URL`, it asks the engine that serves there.

| exit code | means |
| --- | --- |
{codes}
| 130 | interrupted by Ctrl-C; finished steps are kept |
"""


def page() -> str:
    """Return the page (Markdown)."""
    codes = "\n".join(f"| {code} | {meaning} |" for meaning, code in {"done": 0, **EXIT_CODES}.items())
    return "\n".join([_HEAD.format(codes=codes), *_sections(root, "gemel", None)])


def _sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    settings = command.context_settings | {"terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(command, info_name=name.split()[-1], parent=parent, **settings)
    # Options and arguments in the words of `--help`, so that page and terminal cannot disagree.
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"## {name}\n\n```text\n{text}\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _sections(found, f"{name} {inner}", context)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
