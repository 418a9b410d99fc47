"""An edge station: one source, one buffer, one line to an engine, as a table says."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gemel.base.errors import InvalidInput
from gemel.base.plugins import plugins
from gemel.core.stream.edge._buffer import EdgeBuffer
from gemel.core.stream.edge._filters import Filters
from gemel.core.stream.edge._forward import forward
from gemel.core.stream.sources import Source, SourceContext


class FileMemory:
    """A source's memory in a file, which is replaced whole (see `gemel.core.stream.sources.Memory`)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Any]:
        """Return what was saved last, empty at first."""
        return dict(json.loads(self._path.read_bytes())) if self._path.exists() else {}

    def save(self, document: Mapping[str, Any]) -> None:
        """Keep a document."""
        with tempfile.NamedTemporaryFile("w", dir=self._path.parent, prefix=".memory-", delete=False) as fresh:
            json.dump(dict(document), fresh)
        Path(fresh.name).replace(self._path)


@dataclass(frozen=True)
class Station:
    """What runs at the far end of a line.

    Attributes:
        to: Address of a `webhook` source of an engine.
        kind: Kind of the source at this end.
        options: Its options.
        folder: Where the buffer and the source's memory lie.
        token: Reference to the engine's token, None for none.
        signature: Reference to the webhook's secret, None when it asks for none.
        filters: What is let through.
        most_bytes: Of compressed events that may wait for the line.
    """

    to: str
    kind: str
    options: Mapping[str, Any]
    folder: Path
    token: str | None = None
    signature: str | None = None
    filters: Filters = field(default_factory=Filters)
    most_bytes: int = 1_000_000_000

    def run(self, stop: threading.Event) -> dict[str, Any]:
        """Follow the source and hand on until `stop`; return the buffer's status then.

        Raises:
            NotFound: There is no source of that kind.
            InvalidInput: Its options make no sense, or it is one that others send to.
        """
        buffer = EdgeBuffer(self.folder / "edge.db", self.filters, self.most_bytes)
        source = self._open(stop)
        feeding = threading.Thread(target=buffer.feed, args=(source, stop), name="gemel-edge-source", daemon=True)
        feeding.start()
        try:
            forward(buffer, self.to, self.token, stop, signature=self.signature)
        finally:
            stop.set()
            feeding.join(10.0)
            status = dict(buffer.status())
            buffer.close()
        return status

    def _open(self, stop: threading.Event) -> Source:
        if self.kind in ("webhook", "replay"):
            raise InvalidInput(f"A source of kind '{self.kind}' cannot be at the edge.", hint="mqtt, nats, folder, …")
        make: Any = plugins("sources").get(self.kind)
        memory = FileMemory(self.folder / "memory.json")
        rejected = self.folder / "rejected.ndjson"

        def reject(reason: str, payload: bytes) -> None:
            with rejected.open("a") as lines:
                lines.write(json.dumps({"reason": reason, "payload": payload.decode(errors="replace")}) + "\n")

        context = SourceContext("edge", "/edge", self.options, _no_reader, stop, memory, reject)
        source: Source = make(context)
        return source


def _no_reader(reader: str, reference: str) -> Any:
    raise InvalidInput(f"'{reader}' cannot read '{reference}' at the edge: there is no twin.")
