"""gemel new twin, gemel new instance."""

from __future__ import annotations

from pathlib import Path

import click

from gemel.base.config import load_settings
from gemel.cli._root import Session
from gemel.cli._speech import emit, json_option, out, parse_settings
from gemel.core.twin import find_twin, new_instance, new_twin


@click.group()
def new() -> None:
    """Start a new twin, or an instance of one on your own data."""


@new.command(epilog="Example:  gemel new twin river")
@click.argument("name")
@json_option
def twin(name: str, as_json: bool) -> None:
    """Make a folder NAME with a small twin that runs as it is: edit twin.py, run it again."""
    folder = new_twin(name, Path.cwd())
    _tell(folder, as_json)


@new.command(epilog="Example:  gemel new instance mine --of earlywarning --data record=river.csv --set area='812 km2'")
@click.argument("name")
@click.option("--of", required=True, metavar="TWIN", help="The twin whose code and graphs it takes.")
@click.option("--data", metavar="NAME=FILE", multiple=True, help="Bind one of the twin's datasets to a file of yours.")
@click.option("--set", "values", metavar="NAME=VALUE", multiple=True, help="Default of a parameter in the instance.")
@json_option
@click.pass_obj
def instance(
    session: Session, name: str, of: str, data: tuple[str, ...], values: tuple[str, ...], as_json: bool
) -> None:
    """Make a folder NAME with an instance of a twin, bound to your own data."""
    settings = load_settings(assignments=session.assignments)
    parent = find_twin(of, folders=[settings.home / "twins"])
    datasets = {key: str(value) for key, value in parse_settings(data).items()}
    folder = new_instance(name, Path.cwd(), parent, datasets, parse_settings(values))
    _tell(folder, as_json)


def _tell(folder: Path, as_json: bool) -> None:
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if as_json:
        emit({"twin": folder.name, "folder": str(folder), "files": files})
        return
    out.print(f"Made {folder.name}/ with {', '.join(files)}.")
    out.print(f"Next: gemel run {folder.name}, gemel check {folder.name}")
