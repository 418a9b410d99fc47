"""gemel data put, get, find, open, register, group, remove, verify, export: reading and writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gemel.cli._data_speech import Teller, epilog, facts, facts_options, show_datasets, told
from gemel.cli._open import opened
from gemel.cli._root import EXIT_CODES, Session
from gemel.cli._speech import emit, json_option, out, parse_settings, table

_HOME = "home"


@click.command(epilog=epilog("gemel data put rain.nc fulda:rain.nc --licence CC-BY-4.0 --meta variable=rain"))
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("name", metavar="SCOPE:NAME")
@click.option("--storage", default=_HOME, show_default=True, help="Where to.")
@facts_options
@click.option("--digest", multiple=True, metavar="ALGORITHM:HEX", help="The file must have it; may be repeated.")
@json_option
@click.pass_obj
def put(session: Session, /, file: Path, name: str, as_json: bool, **given: Any) -> None:
    """Store FILE under SCOPE:NAME, hashed as it is read."""
    about = facts(given) | {"digests": dict(_pair(text) for text in given["digest"])}
    with opened(session) as client, Teller(f"putting {name}") as teller:
        document = client.data.transport.put(file, name, about, storage=given["storage"], told=teller)
    show_datasets([document], as_json, document)


@click.command(epilog=epilog("gemel data get fulda:rain.nc rain.nc"))
@click.argument("name", metavar="SCOPE:NAME")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Replace what is there.")
@json_option
@click.pass_obj
def get(session: Session, name: str, file: Path, replace: bool, as_json: bool) -> None:
    """Write SCOPE:NAME to FILE, compared with its digests on the way; from a damaged copy nothing is left."""
    with opened(session) as client, Teller(f"getting {name}") as teller:
        document = client.data.transport.fetch(name, file.absolute(), replace=replace, told=teller)
    show_datasets([document], as_json, document | {"file": str(file)})


@click.command(epilog=epilog("gemel data find 'fulda:*' variable=rain"))
@click.argument("query", nargs=-1)
@json_option
@click.pass_obj
def find(session: Session, query: tuple[str, ...], as_json: bool) -> None:
    """List what fits every word of QUERY: part of a name, a pattern, or KEY=VALUE (metadata, kind, state, storage)."""
    with opened(session) as client:
        found = client.data.find(*query)
    show_datasets(found, as_json, {"datasets": found})


@click.command("open", epilog=epilog("gemel data open fulda:rain.csv --rows 5 --option format=CSV"))
@click.argument("name", metavar="SCOPE:NAME")
@click.option("--rows", type=click.IntRange(0, 1000), default=0, help="With --json: show so many rows or cells.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Of its format; may be repeated.")
@json_option
@click.pass_obj
def open_(session: Session, name: str, rows: int, options: tuple[str, ...], as_json: bool) -> None:
    """Show what SCOPE:NAME holds: dimensions, variables or columns; only what that takes is read."""
    with opened(session) as client:
        document = client.data.describe(name, rows, **parse_settings(options))
    if as_json:
        emit(document)
    else:
        out.print(document["text"], markup=False)


@click.command(epilog=epilog("gemel data register fulda:old.nc archive 2019/old.nc"))
@click.argument("name", metavar="SCOPE:NAME|SCOPE")
@click.argument("storage")
@click.argument("path")
@facts_options
@json_option
@click.pass_obj
def register(session: Session, /, name: str, storage: str, path: str, as_json: bool, **given: Any) -> None:
    """Name a file that lies on STORAGE already; it is unverified until it is read.

    A PATH that ends in / is a folder: all files below it get names of the SCOPE, like their paths.
    """
    with opened(session) as client, Teller(f"registering {path}") as teller:
        if path.endswith("/"):
            names = client.data.transport.register_folder(name, storage, path, facts(given), told=teller)
            told(as_json, {"registered": names}, f"{len(names)} files of '{path}' on '{storage}' have names now.")
            return
        document = client.data.transport.register(name, storage, path, facts(given))
    show_datasets([document], as_json, document)


@click.command(epilog=epilog("gemel data group fulda:daily fulda:rain.nc fulda:flow.nc"))
@click.argument("name", metavar="SCOPE:NAME")
@click.argument("members", nargs=-1, required=True)
@click.option("--container", is_flag=True, help="Make a container, of datasets and containers.")
@json_option
@click.pass_obj
def group(session: Session, name: str, members: tuple[str, ...], container: bool, as_json: bool) -> None:
    """Put MEMBERS into the dataset SCOPE:NAME, made when it is new."""
    with opened(session) as client:
        document = client.data.group(name, members, container=container)
    show_datasets([document], as_json, document)


@click.command(epilog=epilog("gemel data remove fulda:rain.nc"))
@click.argument("name", metavar="SCOPE:NAME")
@json_option
@click.pass_obj
def remove(session: Session, name: str, as_json: bool) -> None:
    """Forget SCOPE:NAME and delete its replicas; registered files, and members of a group, stay."""
    with opened(session) as client:
        document = client.data.get(name)
        client.data.remove(name)
    places = ", ".join(replica["storage"] for replica in document["replicas"]) or "no storage"
    told(as_json, {"removed": name}, f"Removed '{name}' ({document['kind']}), which was on {places}.")


@click.command(epilog=epilog("gemel data verify fulda:rain.nc", ", 3 a replica is not right"))
@click.argument("names", metavar="[SCOPE:NAME]...", nargs=-1)
@click.option("--no-repair", is_flag=True, help="Report only.")
@json_option
@click.pass_obj
def verify(session: Session, names: tuple[str, ...], no_repair: bool, as_json: bool) -> None:
    """Read all replicas (of SCOPE:NAME) whole; report what changed, and repair it from a good one."""
    with opened(session) as client, Teller("verifying") as teller:
        document = client.data.verify(*names, repair=not no_repair, listener=teller)
    if as_json:
        emit(document)
    else:
        rows = [(item["name"], item["storage"], item["outcome"], item["reason"] or "") for item in document["replicas"]]
        table(("name", "storage", "outcome", "reason"), rows)
    if not document["passed"]:
        raise SystemExit(EXIT_CODES["check failed"])


@click.command(epilog=epilog("gemel data export runs runs.parquet"))
@click.argument("collection")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@click.pass_obj
def export(session: Session, collection: str, file: Path, as_json: bool) -> None:
    """Write the Items of the STAC Collection COLLECTION to FILE as stac-geoparquet; a file that is there is replaced."""
    with opened(session) as client:
        count = client.data.export(collection, file.absolute())
    told(as_json, {"items": count, "file": str(file)}, f"Wrote {count} Items of '{collection}' to {file}.")


def _pair(text: str) -> tuple[str, str]:
    algorithm, colon, value = text.partition(":")
    if not colon:
        raise click.UsageError(f"'{text}' is no digest. Write --digest sha256:HEX.")
    return algorithm.lower(), value
