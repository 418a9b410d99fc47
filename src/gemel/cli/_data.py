"""gemel data: put, get, find, open, copy, move, verify, register, group, remove, storages."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from gemel.base.clock import parse_duration
from gemel.base.errors import InvalidInput
from gemel.base.sizes import spoken_size
from gemel.cli._root import EXIT_CODES, Session
from gemel.cli._speech import emit, err, json_option, out, parse_settings, table
from gemel.core.engine import Engine, open_engine
from gemel.infra.lake.datasets import Facts, Record
from gemel.infra.lake.storages import HOME

_COLUMNS = ("name", "kind", "size", "state", "licence", "storages")
_CODES = "Exit codes: 0 done, 1 error, 2 usage, 4 not found, 5 denied"


def _epilog(example: str, codes: str = _CODES) -> str:
    return f"\b\nExample:  {example}\n{codes}"


@click.group(epilog=_epilog("gemel data put rain.nc fulda:rain.nc --meta variable=rain"))
def data() -> None:
    """Named data: put, get, find, open, move and verify datasets wherever they lie."""


@data.command(epilog=_epilog("gemel data put rain.nc fulda:rain.nc --licence CC-BY-4.0 --meta variable=rain"))
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("name", metavar="SCOPE:NAME")
@click.option("--storage", default=HOME, show_default=True, help="Where to.")
@click.option("--meta", multiple=True, metavar="KEY=VALUE", help="A member of the metadata; may be repeated.")
@click.option("--licence", help="As SPDX names it.")
@click.option("--lifetime", help="How long it is wanted, such as '30 d'; default for ever.")
@click.option("--digest", multiple=True, metavar="ALGORITHM:HEX", help="The file must have it; may be repeated.")
@click.option("--into", metavar="SCOPE:NAME", help="A dataset to add the file to, made when it is new.")
@json_option
@click.pass_obj
def put(session: Session, /, file: Path, name: str, as_json: bool, **given: Any) -> None:
    """Store FILE under SCOPE:NAME, hashed as it is read."""
    lifetime = parse_duration(given["lifetime"]) if given["lifetime"] else None
    facts = Facts(parse_settings(given["meta"]), given["licence"], lifetime)
    digests = dict(_pair(text) for text in given["digest"])
    with _engine(session) as engine, _told(f"putting {name}", as_json) as progress:
        record = engine.datasets.put(
            file, name, storage=given["storage"], facts=facts, digests=digests, progress=progress
        )
        if given["into"]:
            engine.datasets.group(given["into"], [name])
    _show([record], as_json, record.document())


@data.command(epilog=_epilog("gemel data get fulda:rain.nc rain.nc"))
@click.argument("name", metavar="SCOPE:NAME")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Replace what is there.")
@json_option
@click.pass_obj
def get(session: Session, name: str, file: Path, replace: bool, as_json: bool) -> None:
    """Write SCOPE:NAME to FILE, compared with its digests on the way; from a damaged copy nothing is left."""
    with _engine(session) as engine, _told(f"getting {name}", as_json) as progress:
        record = engine.datasets.fetch(name, file.absolute(), replace=replace, progress=progress)
    _show([record], as_json, record.document() | {"file": str(file)})


@data.command(epilog=_epilog("gemel data find 'fulda:*' variable=rain"))
@click.argument("query", nargs=-1)
@json_option
@click.pass_obj
def find(session: Session, query: tuple[str, ...], as_json: bool) -> None:
    """List what fits every word of QUERY: part of a name, a pattern, or KEY=VALUE (metadata, kind, state, storage)."""
    with _engine(session) as engine:
        found = engine.datasets.find(query)
    _show(found, as_json, {"datasets": [record.document() for record in found]})


@data.command("open", epilog=_epilog("gemel data open fulda:rain.nc"))
@click.argument("name", metavar="SCOPE:NAME")
@json_option
@click.pass_obj
def open_(session: Session, name: str, as_json: bool) -> None:
    """Show what SCOPE:NAME holds: dimensions, variables or columns; only what that takes is read."""
    with _engine(session) as engine:
        value = engine.datasets.open(name)
        if as_json:
            emit({"name": name, **_described(value)})
        else:
            out.print(repr(value), markup=False)


@data.command(epilog=_epilog("gemel data copy fulda:rain.nc archive"))
@click.argument("name", metavar="SCOPE:NAME")
@click.argument("storage")
@json_option
@click.pass_obj
def copy(session: Session, name: str, storage: str, as_json: bool) -> None:
    """Give SCOPE:NAME another verified replica on STORAGE."""
    with _engine(session) as engine, _told(f"copying {name}", as_json) as progress:
        found = engine.datasets.copy(name, storage, progress)
    _show(found, as_json, {"datasets": [record.document() for record in found]})


@data.command(epilog=_epilog("gemel data move fulda:rain.nc archive"))
@click.argument("name", metavar="SCOPE:NAME")
@click.argument("storage")
@json_option
@click.pass_obj
def move(session: Session, name: str, storage: str, as_json: bool) -> None:
    """Move SCOPE:NAME to STORAGE; old replicas go once the new one was compared."""
    with _engine(session) as engine, _told(f"moving {name}", as_json) as progress:
        found = engine.datasets.move(name, storage, progress)
    _show(found, as_json, {"datasets": [record.document() for record in found]})


@data.command(epilog=_epilog("gemel data verify fulda:rain.nc", f"{_CODES}, 3 a replica is not right"))
@click.argument("names", metavar="[SCOPE:NAME]...", nargs=-1)
@click.option("--no-repair", is_flag=True, help="Report only.")
@json_option
@click.pass_obj
def verify(session: Session, names: tuple[str, ...], no_repair: bool, as_json: bool) -> None:
    """Read all replicas (of SCOPE:NAME) whole; report what changed, and repair it from a good one."""
    with _engine(session) as engine, _told("verifying", as_json) as progress:
        findings = engine.datasets.verify(names, repair=not no_repair, progress=progress)
    passed = all(finding.passed for finding in findings)
    if as_json:
        emit({"passed": passed, "replicas": [finding.document() for finding in findings]})
    else:
        rows = [(item.name, item.storage, item.outcome, item.reason or "") for item in findings]
        table(("name", "storage", "outcome", "reason"), rows)
    if not passed:
        raise SystemExit(EXIT_CODES["check failed"])


@data.command(epilog=_epilog("gemel data register fulda:old.nc archive 2019/old.nc"))
@click.argument("name", metavar="SCOPE:NAME")
@click.argument("storage")
@click.argument("path")
@json_option
@click.pass_obj
def register(session: Session, name: str, storage: str, path: str, as_json: bool) -> None:
    """Name a file that lies on STORAGE already; it is unverified until it is read."""
    with _engine(session) as engine:
        record = engine.datasets.register(name, storage, path)
    _show([record], as_json, record.document())


@data.command(epilog=_epilog("gemel data group fulda:daily fulda:rain.nc fulda:flow.nc"))
@click.argument("name", metavar="SCOPE:NAME")
@click.argument("members", nargs=-1, required=True)
@click.option("--container", is_flag=True, help="Make a container, of datasets and containers.")
@json_option
@click.pass_obj
def group(session: Session, name: str, members: tuple[str, ...], container: bool, as_json: bool) -> None:
    """Put MEMBERS into the dataset SCOPE:NAME, made when it is new."""
    with _engine(session) as engine:
        record = engine.datasets.group(name, members, kind="container" if container else "dataset")
    _show([record], as_json, record.document())


@data.command(epilog=_epilog("gemel data remove fulda:rain.nc"))
@click.argument("name", metavar="SCOPE:NAME")
@json_option
@click.pass_obj
def remove(session: Session, name: str, as_json: bool) -> None:
    """Forget SCOPE:NAME and delete its replicas; registered files, and members of a group, stay."""
    with _engine(session) as engine:
        engine.datasets.remove(name)
    if as_json:
        emit({"removed": name})


@data.group(invoke_without_command=True, epilog=_epilog("gemel data storages add archive local folder=/mnt/archive"))
@json_option
@click.pass_context
def storages(ctx: click.Context, as_json: bool) -> None:
    """List storages; add or remove one."""
    if ctx.invoked_subcommand is not None:
        return
    with _engine(ctx.obj) as engine:
        found = engine.storages.list()
    if as_json:
        shown = [{"name": item.name, "kind": item.kind, "options": dict(item.options)} for item in found]
        emit({"storages": shown})
        return
    rows = [(item.name, item.kind, " ".join(f"{key}={value}" for key, value in item.options.items())) for item in found]
    table(("storage", "kind", "options"), rows)


@storages.command(epilog=_epilog("gemel data storages add dav webdav url=https://… token=env:DAV_TOKEN"))
@click.argument("name")
@click.argument("kind")
@click.argument("options", metavar="[KEY=VALUE]...", nargs=-1)
@json_option
@click.pass_obj
def add(session: Session, name: str, kind: str, options: tuple[str, ...], as_json: bool) -> None:
    """Declare the storage NAME of a KIND (gemel plugins storages); secrets as env:VARIABLE or file:PATH."""
    given = dict(_assigned(option) for option in options)
    with _engine(session) as engine:
        declared = engine.storages.add(name, kind, given)
    if as_json:
        emit({"name": declared.name, "kind": declared.kind, "options": dict(declared.options)})


@storages.command("remove", epilog=_epilog("gemel data storages remove archive"))
@click.argument("name")
@json_option
@click.pass_obj
def remove_storage(session: Session, name: str, as_json: bool) -> None:
    """Forget the storage NAME, on which no replica lies; its files stay."""
    with _engine(session) as engine:
        engine.storages.remove(name)
    if as_json:
        emit({"removed": name})


@contextlib.contextmanager
def _engine(session: Session) -> Iterator[Engine]:
    if session.url:
        hint = "Leave --url (GEMEL_URL) out, and name the engine's folder in GEMEL_HOME."
        raise InvalidInput("Datasets are reached where the engine's folder is, not over its address.", hint=hint)
    with open_engine(assignments=session.assignments) as engine:
        yield engine


@contextlib.contextmanager
def _told(what: str, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that says on standard error how far it is, once a second from the second second on."""
    begun = last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 1.0:
            last = now
            err.print(f"  [dim]… {what}: {spoken_size(done)}, {spoken_size(done / (now - begun))}/s[/]")

    yield tell


def _show(records: list[Record], as_json: bool, document: dict[str, Any]) -> None:
    if as_json:
        emit(document)
        return
    rows = [
        (
            str(record.name),
            record.kind,
            None if record.size is None else spoken_size(record.size),
            record.state,
            record.licence,
            ", ".join(replica.storage for replica in record.replicas),
        )
        for record in records
    ]
    table(_COLUMNS, rows)


def _described(value: Any) -> dict[str, Any]:
    sizes = {str(dim): size for dim, size in getattr(value, "sizes", {}).items()}
    columns = [str(name) for name in getattr(value, "columns", ())]
    variables = [str(name) for name in getattr(value, "data_vars", ())]
    found = {"type": type(value).__name__, "sizes": sizes, "columns": columns, "variables": variables}
    return {key: item for key, item in found.items() if item}


def _pair(text: str) -> tuple[str, str]:
    algorithm, colon, value = text.partition(":")
    if not colon:
        raise click.UsageError(f"'{text}' is no digest. Write --digest sha256:HEX.")
    return algorithm.lower(), value


def _assigned(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"'{text}' is not an option of a storage. Write key=value.")
    return name, value
