"""The engine: opens a home folder and does what people ask of twins and runs; CLI, SDK and server all go through it."""

from gemel.core.engine._data_moving import is_over, progress_of
from gemel.core.engine._data_service import DataService, StoredFile
from gemel.core.engine._documents import live_document, run_document, twin_document
from gemel.core.engine._engine import Engine, open_engine
from gemel.core.engine._export import EXPORTS, export
from gemel.core.engine._live import LiveStatus, LiveTwin
from gemel.core.engine._service import Service

__all__ = [
    "EXPORTS",
    "DataService",
    "Engine",
    "LiveStatus",
    "LiveTwin",
    "Service",
    "StoredFile",
    "export",
    "is_over",
    "live_document",
    "open_engine",
    "progress_of",
    "run_document",
    "twin_document",
]
