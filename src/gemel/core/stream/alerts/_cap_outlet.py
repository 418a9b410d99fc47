"""CAP 1.2 messages, posted or laid into a folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from gemel.core.stream.alerts._cap import CapSettings, cap_document, cap_identifier
from gemel.core.stream.alerts._folder import write_whole
from gemel.core.stream.alerts._outlet import Address, Notice
from gemel.core.stream.alerts._posting import Poster, PostTable

_MEDIA_TYPE = "application/cap+xml"


class CapTable(CapSettings, PostTable):
    """Options of an outlet of CAP messages.

    Attributes:
        url: Where they are posted.
        folder: Where they are laid, named after their identifiers.
    """

    url: Address | None = None  # type: ignore[assignment]
    folder: str = ""

    @model_validator(mode="after")
    def _somewhere(self) -> CapTable:
        self.require_sender()
        if not self.url and not self.folder:
            raise ValueError("say where to: a url, a folder, or both")
        return self


class Cap:
    """Hands over each alert as a CAP message; one that comes again has the same identifier."""

    needs_earlier = True
    Table = CapTable

    def __init__(self, table: CapTable, folder: Path) -> None:
        self._table, self._poster = table, Poster(table)
        self._folder = folder / Path(table.folder).expanduser() if table.folder else None

    def send(self, notice: Notice) -> None:
        """Hand over one alert."""
        message = cap_document(notice, self._table)
        if message is None:
            return
        if self._folder is not None:
            write_whole(self._folder / f"{cap_identifier(notice)}.xml", message)
        if self._table.url:
            self._poster.post(self._table.url, message, {"Content-Type": _MEDIA_TYPE})

    def close(self) -> None:
        """Let connections go."""
        self._poster.close()
