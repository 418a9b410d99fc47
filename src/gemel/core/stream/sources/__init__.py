"""Sources of observations: plugins that turn what the world says into events, and lose none of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gemel.core.stream.sources._replay import Replay
from gemel.core.stream.sources._source import Forgetful, Memory, Receiver, Source, SourceContext

if TYPE_CHECKING:
    from gemel.core.stream.sources._aviso import Aviso
    from gemel.core.stream.sources._files import Bucket, Folder
    from gemel.core.stream.sources._mqtt import Mqtt
    from gemel.core.stream.sources._nats import Nats
    from gemel.core.stream.sources._sensorthings import SensorThings
    from gemel.core.stream.sources._stac import Stac
    from gemel.core.stream.sources._webhook import Webhook

__all__ = [
    "Aviso",
    "Bucket",
    "Folder",
    "Forgetful",
    "Memory",
    "Mqtt",
    "Nats",
    "Receiver",
    "Replay",
    "SensorThings",
    "Source",
    "SourceContext",
    "Stac",
    "Webhook",
]

# What needs a client or a storage is loaded once it is asked for.
_LATER = {
    "Aviso": "_aviso",
    "Bucket": "_files",
    "Folder": "_files",
    "Mqtt": "_mqtt",
    "Nats": "_nats",
    "SensorThings": "_sensorthings",
    "Stac": "_stac",
    "Webhook": "_webhook",
}


def __getattr__(name: str) -> object:
    """Return a source that is loaded when it is first asked for."""
    if name in _LATER:
        return getattr(importlib.import_module(f"gemel.core.stream.sources.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
