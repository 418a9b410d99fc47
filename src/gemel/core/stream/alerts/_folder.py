"""Alerts as files: one each, whole or not there at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from gemel.base.errors import StoreUnavailable
from gemel.core.stream.alerts._cap import CapSettings, cap_document, cap_identifier
from gemel.core.stream.alerts._outlet import Notice, OutletTable


class FolderTable(CapSettings, OutletTable):
    """Options of a folder.

    Attributes:
        path: Of the folder; relative ones lie below `alerts` in the engine's home.
        format: ``json`` writes CloudEvents, ``cap`` CAP 1.2 messages.
    """

    path: str
    format: Literal["json", "cap"] = "json"

    @model_validator(mode="after")
    def _somebody(self) -> FolderTable:
        if self.format == "cap":
            self.require_sender()
        return self


class Folder:
    """Writes a file for each alert, named after it: an alert that comes again is the same file."""

    Table = FolderTable

    def __init__(self, table: FolderTable, folder: Path) -> None:
        self._table, self._folder = table, folder / Path(table.path).expanduser()
        self.needs_earlier = table.format == "cap"

    def send(self, notice: Notice) -> None:
        """Write one alert."""
        if self._table.format == "json":
            content = json.dumps(notice.document(), indent=2, ensure_ascii=False).encode()
            write_whole(self._folder / f"{_fit(notice.id)}.json", content)
            return
        message = cap_document(notice, self._table)
        if message is not None:
            write_whole(self._folder / f"{cap_identifier(notice)}.xml", message)

    def close(self) -> None:
        """Do nothing: no file stays open."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that others never see in part; it is on disk when this returns.

    Raises:
        StoreUnavailable: The folder cannot be written to.
    """
    # A dot in front: whoever watches the folder passes it over.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise StoreUnavailable(f"'{path}' cannot be written: {error.strerror}.", hint="Is the disk full?") from error


def _fit(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:200].lstrip(".") or "alert"
