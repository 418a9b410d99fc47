"""An edge as a process: a gauge that speaks until it is acknowledged, a buffer, and the line to the engine."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gemel.core.stream import Event
from gemel.core.stream.edge import EdgeBuffer, forward

START = datetime(2001, 1, 1, tzinfo=UTC)


class Gauge:
    """A gauge that remembers what was acknowledged: when it is asked for more, that is."""

    def __init__(self, count: int, acked: Path) -> None:
        self._count, self._acked = count, acked

    def events(self, after):
        begin = int(self._acked.read_text() or 0) if self._acked.exists() else 0
        for start in range(begin, self._count, 5):
            numbers = range(start, min(start + 5, self._count))
            yield [
                Event(f"e{n}", "gemel.observation", "/gauge", START + timedelta(seconds=n), {"flow": n})
                for n in numbers
            ]
            whole = self._acked.with_suffix(".new")
            whole.write_text(str(numbers.stop))
            whole.replace(self._acked)
            threading.Event().wait(0.005)


def main() -> None:
    """Run until killed."""
    path, url, count, acked = sys.argv[1:]
    buffer, stop = EdgeBuffer(Path(path)), threading.Event()
    threading.Thread(target=buffer.feed, args=(Gauge(int(count), Path(acked)), stop), daemon=True).start()
    forward(buffer, url, "t0ken", stop)


if __name__ == "__main__":
    main()
