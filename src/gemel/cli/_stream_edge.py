"""gemel stream edge: beside the instrument, at the far end of a thin line."""

from __future__ import annotations

import signal
import threading
import tomllib
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, ConfigDict, ValidationError

from gemel.base.clock import parse_duration
from gemel.base.errors import ConfigInvalid
from gemel.base.sizes import parse_size
from gemel.cli._data_speech import epilog
from gemel.cli._speech import emit, err, json_option
from gemel.core.stream.edge import Filters, Station


class _Filters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    bounds: dict[str, tuple[float, float]] = {}
    deadband: dict[str, float] = {}
    changed: tuple[str, ...] = ()
    every: int = 1
    longest: str | None = None


class _Source(BaseModel):
    model_config = ConfigDict(extra="allow")

    kind: str


class _Edge(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: str
    token: str | None = None
    signature: str | None = None
    most: str = "1 GB"
    source: _Source
    filters: _Filters = _Filters()


@click.command(epilog=epilog("gemel stream edge edge.toml --folder /var/lib/gemel-edge"))
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("edge"), show_default=True, help="For the buffer."
)
@json_option
def edge(file: Path, folder: Path, as_json: bool) -> None:
    """Filter, keep and hand on what a source here tells, as FILE says; Ctrl-C ends it, and nothing is lost."""
    station = _read(file, folder)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if not as_json:
        err.print(f"From {station.kind} to {station.to}; Ctrl-C ends it.", markup=False)
    status = station.run(stop)
    if as_json:
        emit(status)
    else:
        err.print(f"{status['waiting']} events wait in {folder} for the next start.", markup=False)


def _read(file: Path, folder: Path) -> Station:
    try:
        said = _Edge.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{file} is not TOML: {error}.", hint="See docs/streams.md.") from error
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigInvalid(f"{file}: {told}.", hint="See docs/streams.md.") from error
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = dict(said.source.model_extra or {})
    return Station(
        said.to,
        said.source.kind,
        options,
        folder,
        said.token,
        said.signature,
        _filters(said.filters),
        parse_size(said.most),
    )


def _filters(said: _Filters) -> Filters:
    longest = None if said.longest is None else parse_duration(said.longest)
    return Filters(said.bounds, said.deadband, said.changed, said.every, longest)
