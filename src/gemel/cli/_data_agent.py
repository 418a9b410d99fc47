"""gemel data agent, agent-token: the agent at a site that takes no calls, and its token. It starts without the engine."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from pathlib import Path
from typing import Any

import click

from gemel.base.clock import parse_duration
from gemel.base.config import load_settings
from gemel.base.errors import InvalidInput
from gemel.base.sizes import spoken_size
from gemel.cli._root import Session, leave
from gemel.cli._speech import emit, json_option
from gemel.infra.lake.agents import Agent, AgentKeys, Site

_CODES = "Exit codes: 0 done, 1 error, 2 usage"
_EXAMPLE = "gemel data agent --engine https://engine.example.org --storage hpc --folder /data --token file:token"


@click.command(epilog=f"\b\nExample:  {_EXAMPLE}\n{_CODES}")
@click.argument("site", type=click.Path(path_type=Path), metavar="[SITE.TOML]", required=False)
@click.option("--engine", metavar="URL", help="Address of the engine.")
@click.option("--storage", metavar="NAME", help="Which of its storages is here (kind 'agent').")
@click.option("--folder", metavar="DIR", help="Where the files lie; nothing outside of it is touched.")
@click.option("--token", metavar="REF", help="Where the agent's token is: env:NAME or file:PATH.")
@click.option("--ca", metavar="FILE", help="Certificates to trust for the engine.")
@click.option("--tasks", type=click.IntRange(1, 64), help="So many at a time (default 4).")
@json_option
def agent(site: Path | None, as_json: bool, **given: Any) -> None:
    """Serve a folder of this site to an engine by calling out only; ends with SIGTERM or Ctrl-C."""
    found = Site.read(site, given)
    said = threading.Lock()

    def say(event: dict[str, Any]) -> None:
        with said:
            click.echo(json.dumps(event, ensure_ascii=False) if as_json else _line(event), err=not as_json)

    if found.in_clear:
        say({"storage": found.storage, "agent": "warning", "reason": "Token and data go over http unencrypted."})
    worker = Agent(found, say)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()
    # A question that is still open does not hold up the end.
    leave(0)


@click.command("agent-token", epilog=f"\b\nExample:  gemel data agent-token hpc --lasting '90 d' --to token\n{_CODES}")
@click.argument("storage")
@click.option("--lasting", default="90 d", show_default=True, help="How long it is good for.")
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, for its owner alone.")
@json_option
@click.pass_obj
def agent_token(session: Session, storage: str, lasting: str, to: Path | None, as_json: bool) -> None:
    """Make a token for the agent of STORAGE, good for that storage and nothing else of the engine."""
    if session.url:
        raise InvalidInput("An agent's token is made where the engine's folder is.", hint="Leave --url out.")
    settings = load_settings(assignments=session.assignments)
    token, ends = AgentKeys(settings.home).minted(storage, parse_duration(lasting))
    if to is not None:
        _kept(to, token)
    if as_json:
        shown = {"file": str(to)} if to is not None else {"token": token}
        emit({"storage": storage, "expires": ends, **shown})
    elif to is None:
        click.echo(token)
    click.echo(f"Good for storage '{storage}' until {ends}.", err=True)


def _kept(file: Path, token: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        file.unlink()
    file.touch(mode=0o600)
    file.write_text(f"{token}\n", encoding="ascii")


def _line(event: dict[str, Any]) -> str:
    """Return an event in one line."""
    if "agent" in event:
        reason = f": {event['reason']}" if event.get("reason") else ""
        return f"{event.get('at', '')} {event['storage']} {event['agent']}{reason}".strip()
    size = spoken_size(int(event["bytes"])) if event["bytes"] else "–"
    words = [event["at"], event["storage"], event["verb"], f"'{event['path']}'", size, f"{event['seconds']:.3f} s"]
    words += [event["ended"], *([event["reason"]] if event.get("reason") else [])]
    return " ".join(str(word) for word in words)
