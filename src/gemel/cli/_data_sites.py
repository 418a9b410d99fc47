"""gemel data stage: inputs to a job's folder, outputs from it, in one command, around one, or in a batch script."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from gemel.base.config import load_settings
from gemel.base.errors import InvalidInput
from gemel.base.sizes import spoken_size
from gemel.cli._open import opened
from gemel.cli._root import Session
from gemel.cli._speech import emit, err, json_option, parse_settings
from gemel.infra.lake.datasets import Facts
from gemel.infra.lake.staging import (
    In,
    Job,
    Known,
    Out,
    Staged,
    StagingLake,
    run_staged,
    stage_in,
    stage_out,
    staged_script,
)
from gemel.infra.lake.storages import HOME
from gemel.sdk._data import DataView

_CODES = "Exit codes: 0 done, 1 error, 2 usage, 4 not found, 5 denied"
_F = TypeVar("_F", bound=Callable[..., Any])


def _epilog(example: str, codes: str = _CODES) -> str:
    return f"\b\nExample:  {example}\n{codes}"


def _kept_options(function: _F) -> _F:
    """Return a command with the options that say how outputs are kept."""
    for option in reversed(
        (
            click.option("--storage", default=HOME, show_default=True, help="Where outputs go."),
            click.option("--licence", help="Of outputs, as SPDX names it."),
            click.option("--meta", multiple=True, metavar="KEY=VALUE", help="A member of their metadata."),
            click.option("--into", metavar="SCOPE:NAME", help="A dataset to add them to, made when it is new."),
        )
    ):
        function = option(function)
    return function


@click.group(epilog=_epilog("gemel data stage in fulda:rain.nc=in/rain.nc"))
def stage() -> None:
    """Bring verified inputs to a job, and register its outputs with how they came to be."""


@stage.command("in", epilog=_epilog("gemel data stage in fulda:rain.nc=in/rain.nc"))
@click.argument("inputs", metavar="[SCOPE:NAME=PATH]...", nargs=-1)
@click.option("--replace", is_flag=True, help="Replace another file at a path.")
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="Note there what began, for `out`.")
@json_option
@click.pass_obj
def in_(session: Session, inputs: tuple[str, ...], replace: bool, record: Path | None, as_json: bool) -> None:
    """Bring files to paths, compared on the way; what is there already is left. A group goes into a folder."""
    wanted = [In.parse(text) for text in inputs]
    with _lake(session) as lake:
        found = stage_in(lake, wanted, replace=replace)
    if record is not None:
        Job.beginning([item.told() for item in found]).kept(record)
    _show(found, as_json, {"inputs": [item.document() for item in found]})


@stage.command(epilog=_epilog("gemel data stage out out/flow.nc=fulda:flow.nc --licence CC-BY-4.0"))
@click.argument("outputs", metavar="PATH=SCOPE:NAME...", nargs=-1, required=True)
@_kept_options
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="What `in` noted of the job.")
@click.option("--exit-code", type=int, default=0, show_default=True, help="How the job ended.")
@click.option("--command", metavar="TEXT", help="What the job ran.")
@json_option
@click.pass_obj
def out(session: Session, /, outputs: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Register files that a job left; doing it again is fine, another content under a name is not."""
    made = [Out.parse(text) for text in outputs]
    begun = Job.beginning([]) if given["record"] is None else Job.read(given["record"])
    job = Job(begun.inputs, begun.started, begun.host, begun.batch, (given["command"] or "",)).ending(
        given["exit_code"]
    )
    with _lake(session) as lake:
        found = _registered(lake, made, given, job if given["record"] or given["command"] else None)
    _show(found, as_json, {"outputs": [item.document() for item in found]})


@stage.command(
    epilog=_epilog(
        "gemel data stage run --in fulda:rain.nc=rain.nc --out flow.nc=fulda:flow.nc -- ./model rain.nc flow.nc",
        "Exit codes: those of COMMAND; before it and after it 1 error, 2 usage, 4 not found, 5 denied",
    ),
    context_settings={"ignore_unknown_options": False},
)
@click.option("--in", "inputs", metavar="SCOPE:NAME=PATH", multiple=True, help="An input; may be repeated.")
@click.option("--out", "outputs", metavar="PATH=SCOPE:NAME", multiple=True, help="An output; may be repeated.")
@_kept_options
@click.option("--replace", is_flag=True, help="Replace another file at the path of an input.")
@click.option("--always", is_flag=True, help="Register outputs of a command that failed, too.")
@click.argument("command", nargs=-1, required=True)
@json_option
@click.pass_obj
def run(session: Session, /, command: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Stage in, run COMMAND, and register its outputs when it succeeds."""
    wanted, made = [In.parse(text) for text in given["inputs"]], [Out.parse(text) for text in given["outputs"]]

    def bring() -> list[Staged]:
        with _lake(session) as lake:
            return stage_in(lake, wanted, replace=given["replace"])

    def register(job: Job) -> list[Staged]:
        with _lake(session) as lake:
            return _registered(lake, made, given, job)

    # The engine is not held open while the command runs: it may take days.
    code, inputs, outputs = run_staged(bring, command, register, always=given["always"], quiet=as_json)
    document = {"exit_code": code, "inputs": [item.document() for item in inputs]}
    _show([*inputs, *outputs], as_json, document | {"outputs": [item.document() for item in outputs]})
    if code:
        raise SystemExit(code)


@stage.command(epilog=_epilog("gemel data stage script job.sh > staged.sh && sbatch staged.sh"))
@click.argument("script", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="Write it there.")
@click.option("--gemel", "command", default="gemel", show_default=True, help="How gemel is called on the node.")
@json_option
@click.pass_obj
def script(session: Session, script: Path, to: Path | None, command: str, as_json: bool) -> None:
    """Turn the directives #GEMEL of a batch script into one that stages by itself, for sbatch as it is."""
    try:
        text = script.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"'{script}' cannot be read: {error}.") from error
    settings = load_settings(assignments=session.assignments)
    call = [command, *(["--url", session.url] if session.url else [])]
    found = staged_script(text, command=call, home=settings.home)
    if to is not None:
        to.write_text(found, encoding="utf-8")
        to.chmod(script.stat().st_mode & 0o777 | 0o100)
    if as_json:
        emit({"script": found} if to is None else {"file": str(to)})
    elif to is None:
        click.echo(found, nl=False)


def _registered(lake: StagingLake, made: Sequence[Out], given: Mapping[str, Any], job: Job | None) -> list[Staged]:
    facts = Facts(parse_settings(given["meta"]), given["licence"])
    return stage_out(lake, made, storage=given["storage"], facts=facts, job=job, into=given["into"])


@contextlib.contextmanager
def _lake(session: Session) -> Iterator[StagingLake]:
    with opened(session) as client:
        yield _ClientLake(client.data)


class _ClientLake:
    """The lake of an engine that is opened here, or asked over its address."""

    def __init__(self, data: DataView) -> None:
        self._data = data

    def files(self, name: str) -> list[Known]:
        found: dict[str, Known] = {}
        waiting = [name]
        seen: set[str] = set()
        while waiting:
            document = self._data.get(waiting.pop())
            called = str(document["name"])
            if called in seen:
                continue
            seen.add(called)
            waiting.extend(document["members"])
            if document["kind"] == "file":
                digests = {key: str(item["value"]) for key, item in document["digests"].items()}
                found[called] = Known(called, document["size"], digests)
        return sorted(found.values(), key=lambda item: item.name)

    def fetch(self, name: str, target: Path, replace: bool) -> None:
        self._data.fetch(name, target, replace=replace)

    def put(self, file: Path, name: str, storage: str, facts: Facts, digests: Mapping[str, str]) -> None:
        said = facts.metadata
        self._data.put(file, name, storage=storage, licence=facts.licence, metadata=said, digests=digests)

    def group(self, name: str, members: Sequence[str]) -> None:
        self._data.group(name, list(members))


def _show(found: Sequence[Staged], as_json: bool, document: Mapping[str, Any]) -> None:
    if as_json:
        emit(dict(document))
        return
    for item in found:
        err.print(f"[dim]{item.done}: {item.name} {item.path} ({spoken_size(item.size)})[/]", markup=True)
