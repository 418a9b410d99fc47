"""The Python client: the same few classes whether the engine is in this process or behind an address."""

from gemel.sdk._client import Client, connect
from gemel.sdk._data import DataView, TransfersHandle
from gemel.sdk._handles import Result, RunHandle, TwinHandle

__all__ = ["Client", "DataView", "Result", "RunHandle", "TransfersHandle", "TwinHandle", "connect"]
