"""The engine: opens a home folder and does what people ask of twins and runs; CLI, SDK and server all go through it."""

from gemel.core.engine._alert_service import AlertService
from gemel.core.engine._data_moving import is_over, progress_of
from gemel.core.engine._data_service import DataService, StoredFile
from gemel.core.engine._documents import live_document, run_document, twin_document
from gemel.core.engine._engine import Engine, open_engine
from gemel.core.engine._export import EXPORTS, export
from gemel.core.engine._freshness import LiveStatus
from gemel.core.engine._function_service import FunctionService
from gemel.core.engine._live import LiveParts, LiveTwin
from gemel.core.engine._model_service import ModelService
from gemel.core.engine._service import Service
from gemel.core.engine._stream_service import (
    StreamService,
    TriggerService,
    event_document,
    state_document,
    tailed,
    twin_stream,
)

__all__ = [
    "EXPORTS",
    "AlertService",
    "DataService",
    "Engine",
    "FunctionService",
    "LiveParts",
    "LiveStatus",
    "LiveTwin",
    "ModelService",
    "Service",
    "StoredFile",
    "StreamService",
    "TriggerService",
    "event_document",
    "export",
    "is_over",
    "live_document",
    "open_engine",
    "progress_of",
    "run_document",
    "state_document",
    "tailed",
    "twin_document",
    "twin_stream",
]
