"""Opening the engine that a command works on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gemel.base.config import load_settings
from gemel.cli._root import Session
from gemel.core.engine import Service, open_engine
from gemel.infra.access import read_token
from gemel.sdk import Client
from gemel.sdk._transport import HttpTransport


@contextlib.contextmanager
def opened(session: Session) -> Iterator[Client]:
    """Yield a client of the engine at `--url`, or of one opened here."""
    settings = load_settings(assignments=session.assignments)
    with contextlib.ExitStack() as closing:
        if session.url:
            transport = HttpTransport(session.url, read_token(settings.home), settings.home / "cache")
            closing.callback(transport.close)
            yield Client(transport, closing)
        else:
            yield Client(Service(closing.enter_context(open_engine(settings))), closing)
