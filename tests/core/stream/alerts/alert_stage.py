"""A receiver of alerts that answers as it is told to, alerts to send, and WMO's validator of CAP messages."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gemel.core.stream.alerts import ALERT, About, Line, OutletContext, open_outlet
from gemel.core.stream.events import Event
from own_environment import own_environment

STREAM = "twins/brook"
BEGIN = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
BROOK = About("brook", "A brook", "Valley", 51.0, 9.5, "duty@example.org")
CHECK = """
import json, sys
from capvalidator import check_schema
found = [check_schema(open(path, "rb").read()) for path in sys.argv[1:]]
print(json.dumps([[item.passed, item.message] for item in found]))
"""


class Receiver:
    """What came, and what is answered: (status, headers) for each of the next requests, 204 after that."""

    def __init__(self) -> None:
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.always: int | None = None
        self.before: Callable[[], object] | None = None
        self.url = ""

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.came]


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            given = receiver.answers.pop(0) if receiver.answers else (receiver.always or 204, {})
            receiver.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
            if receiver.before:
                receiver.before()
            with contextlib.suppress(OSError):  # whoever asked may be gone
                self._tell(given)

        def _tell(self, given: tuple[int, dict[str, str]]) -> None:
            self.send_response(given[0])
            for name, value in {"Content-Length": "0", **given[1]}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/alerts"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def alert(number: int, run: str = "run-1", type: str = ALERT, **changes: Any) -> Event:
    told = {"event": "flood", "place": "Mill", "level": "2-year", "probability": 0.75, "threshold": 120.0}
    told |= {"unit": "m3 s-1", "lead_days": 2, "valid": "2026-03-03T00:00:00Z", "issued": "2026-03-01T00:00:00Z"}
    when = BEGIN + timedelta(minutes=number)
    return Event(f"alert-{number}-0", type, f"/{STREAM}", when, told | {"limit": 0.1, "run": run} | changes, "brook")


def updated(number: int) -> Event:
    return Event(f"updated-{number}", "gemel.twin.updated", f"/{STREAM}", BEGIN, {"sequence": number}, "brook")


def line(log, kind: str, home: Path = Path(), name: str = "out", about: About = BROOK, **options: Any) -> Line:
    options = {"begin": "all", "pause": "0.01 s", **options}
    return Line(log, STREAM, open_outlet(OutletContext(name, kind, options, about, home)))


def settled(line: Line, seconds: float = 20.0) -> Line:
    """Return the line once nothing is pending."""
    never = threading.Event()
    for _ in range(int(seconds / 0.01)):
        line.work(never, 0.01)
        if line.pending() == 0:
            return line
    raise AssertionError("alerts still wait")


def validate(paths: Sequence[Path]) -> list[list[Any]]:
    """Return [passed, message] of each file, as WMO's capvalidator judges it by the schema of OASIS."""
    python = own_environment("cap", Path(__file__).with_name("pins.txt"))
    ended = subprocess.run([python, "-c", CHECK, *paths], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return list(json.loads(ended.stdout))
