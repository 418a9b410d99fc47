"""A storage element at `/dav/<storage>/<path>`: WebDAV, HTTP third-party copy, digests and macaroons over the engine's storages."""

from gemel.faces.storage._asked import Limits
from gemel.faces.storage._face import StorageElement

__all__ = ["Limits", "StorageElement", "face"]

face = StorageElement()
