"""Conformance suites, one per kind of plugin: subclass one in a test module, name your plugin, and pytest runs it.

gemel's own plugins pass the same suites.
"""

from gemel.testing._checks import CheckContract
from gemel.testing._event_log import EventLogContract
from gemel.testing._models import ModelContract
from gemel.testing._processes import ProcessContract
from gemel.testing._sources import SourceContract
from gemel.testing._storage import StorageContract
from gemel.testing._twins import TwinContract

__all__ = [
    "CheckContract",
    "EventLogContract",
    "ModelContract",
    "ProcessContract",
    "SourceContract",
    "StorageContract",
    "TwinContract",
]
