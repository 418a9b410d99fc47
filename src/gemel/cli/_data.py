"""gemel data: the verbs of the data lake, in the engine's own folder or over its address; each loaded when it is used."""

from __future__ import annotations

import importlib

import click

from gemel.base.errors import did_you_mean

# In the order of their help: module and name of each.
_VERBS = {
    "put": ("_data_files", "put"),
    "get": ("_data_files", "get"),
    "find": ("_data_files", "find"),
    "open": ("_data_files", "open_"),
    "copy": ("_data_moving", "copy"),
    "move": ("_data_moving", "move"),
    "verify": ("_data_files", "verify"),
    "register": ("_data_files", "register"),
    "group": ("_data_files", "group"),
    "remove": ("_data_files", "remove"),
    "transfers": ("_data_moving", "transfers"),
    "cancel": ("_data_moving", "cancel"),
    "changes": ("_data_moving", "changes"),
    "storages": ("_data_keeping", "storages"),
    "tokens": ("_data_keeping", "tokens"),
    "rules": ("_data_keeping", "rules"),
    "keep": ("_data_keeping", "keep"),
    "reclaim": ("_data_keeping", "reclaim"),
    "watch": ("_data_keeping", "watch"),
    "export": ("_data_files", "export"),
    "agent": ("_data_agent", "agent"),
    "agent-token": ("_data_agent", "agent_token"),
    "stage": ("_data_sites", "stage"),
    "stac": ("_data_outside", "stac"),
    "rucio": ("_data_outside", "rucio"),
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module, name = _VERBS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"gemel.cli.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _VERBS:
            hint = did_you_mean(args[0], _VERBS) or "See gemel data --help."
            raise click.UsageError(f"No such command '{args[0]}'. {hint}")
        return super().resolve_command(ctx, args)


_EPILOG = """\b
Example:  gemel data put rain.nc fulda:rain.nc --meta variable=rain
Exit codes: 0 done, 1 error, 2 usage, 3 a replica is not right, 4 not found, 5 denied
Every verb takes --json; over an engine's address: gemel --url http://127.0.0.1:8400 data …
"""


@click.group(cls=_Verbs, epilog=_EPILOG)
def data() -> None:
    """Named data: put, get, find, open, move and verify datasets wherever they lie."""
