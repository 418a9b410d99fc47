"""The root command: global options, commands loaded when used, errors turned into messages and exit codes."""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NoReturn

import click

from gemel.base.errors import CheckFailed, Denied, GemelError, NotFound, did_you_mean

EXIT_CODES = {"error": 1, "usage": 2, "check failed": 3, "not found": 4, "denied": 5}
# Help texts stand here so that `gemel --help` imports no command.
_COMMANDS = {
    "up": ("_up", "Start the engine and its pages; --demo brings a living twin."),
    "twins": ("_twins", "List the twins that can be used."),
    "card": ("_twins", "Show a twin's card and parameters."),
    "run": ("_runs", "Run a graph of a twin; only what changed is computed."),
    "whatif": ("_runs", "Ask: what if these parameters were so?"),
    "watch": ("_runs", "Follow a run until it ends."),
    "runs": ("_runs", "List runs, newest first."),
    "show": ("_runs", "Show a run: steps, outputs, logs."),
    "cancel": ("_runs", "Stop a run."),
    "compare": ("_trust", "Why did this number change? What differs between two runs."),
    "explain": ("_trust", "Where a run's numbers, and the doubt in them, come from."),
    "check": ("_trust", "Make all checks of a twin."),
    "new": ("_new", "Start a new twin, or an instance of one on your own data."),
    "export": ("_export", "Write a graph as a CWL workflow or an ecFlow suite."),
    "step": ("_export", ""),
    "publish": ("_share", "Publish a checked twin as an immutable version."),
    "pull": ("_share", "Bring a published twin here."),
    "train": ("_train", "Train a model from one description, or the models of a twin."),
    "promote": ("_train", "Bring a judged version of a model into service."),
    "model": ("_model", "Trained models: versions, history, rollback, answers, export; trainings that run."),
    "data": ("_data", "Named data: put, get, find, open, move and verify datasets."),
    "stream": ("_stream", "Events: list, read, follow and send; dead letters, buffers, states."),
    "trigger": ("_trigger", "When something happens, run a graph: list, add, call, remove."),
    "function": ("_function", "A process that is called: deploy, call, replay dead letters, remove."),
    "alerts": ("_alerts", "What was warned of, as CAP messages too, and where warnings go."),
    "config": ("_setup", "Show the settings in force and where each comes from."),
    "plugins": ("_setup", "List plugins and whether they are healthy."),
    "doctor": ("_setup", "Say what is missing and the command that adds it."),
}


@dataclass
class Session:
    """Global options, handed to every command."""

    url: str | None
    assignments: tuple[str, ...]
    debug: bool


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"gemel.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            hint = did_you_mean(args[0], _COMMANDS) or "See gemel --help."
            raise click.UsageError(f"No such command '{args[0]}'. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items() if text])


_EPILOG = """\b
Begin with:   gemel up --demo
Exit codes:   0 done, 1 error, 2 usage, 3 a check failed, 4 not found, 5 denied
"""


@click.group(
    cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--url", metavar="URL", envvar="GEMEL_URL", help="Ask the engine at this address instead of opening one here."
)
@click.option("--set", "assignments", metavar="A.B=C", multiple=True, help="Set a configuration value for this call.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(version("gemel"), prog_name="gemel")
@click.pass_context
def root(ctx: click.Context, url: str | None, assignments: tuple[str, ...], debug: bool) -> None:
    """Digital twins for science: build, run, trust and share them."""
    ctx.obj = Session(url, assignments, debug)


def main() -> None:
    """Run the command line and exit with one of `EXIT_CODES`."""
    wants_json = "--json" in sys.argv
    try:
        code = root.main(standalone_mode=False, prog_name="gemel")
    except click.ClickException as error:
        _tell(wants_json, {"code": "usage", "message": error.format_message(), "hint": _help_of(error), "context": {}})
        sys.exit(EXIT_CODES["usage"])
    except (click.Abort, KeyboardInterrupt):
        _tell(
            wants_json,
            {"code": "interrupted", "message": "Interrupted.", "hint": "Finished steps are kept.", "context": {}},
        )
        leave(130)
    except GemelError as error:
        if "--debug" in sys.argv:
            raise
        _tell(wants_json, error.document())
        sys.exit(exit_code(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def leave(code: int) -> NoReturn:
    """End the process at once, also where a step that nobody can stop is still computing; what is stored is stored."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def exit_code(error: GemelError) -> int:
    """Return the exit code that an error ends the command with."""
    for kind, name in ((CheckFailed, "check failed"), (NotFound, "not found"), (Denied, "denied")):
        if isinstance(error, kind):
            return EXIT_CODES[name]
    return EXIT_CODES["error"]


def _tell(wants_json: bool, document: dict[str, Any]) -> None:
    if wants_json:
        click.echo(json.dumps({"error": document}, default=str, ensure_ascii=False))
        return
    click.secho(f"Error: {document['message']}", fg="red", err=True)
    if document["hint"]:
        click.secho(f"  → {document['hint']}", err=True)


def _help_of(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context else "gemel --help"
