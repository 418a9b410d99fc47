"""The command `gemel`: every verb with `--json`, progress on standard error, and errors that name the next command."""

from gemel.cli._root import main

__all__ = ["main"]
