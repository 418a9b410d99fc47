"""Storages: places where datasets lie, each behind one small protocol, declared by name and reached with its own token."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gemel.infra.lake.storages._declared import HOME, Declaration, Journal, Storages, Tokens
from gemel.infra.lake.storages._fdb import FdbStorage
from gemel.infra.lake.storages._http import HttpStorage
from gemel.infra.lake.storages._local import LocalStorage, in_writing, translated
from gemel.infra.lake.storages._ranged import RangedFile
from gemel.infra.lake.storages._s3 import S3Storage
from gemel.infra.lake.storages._standing import Standing, Standings
from gemel.infra.lake.storages._storage import PIECE, Entry, Readable, Storage, TokenSource, checked_path, revealed
from gemel.infra.lake.storages._webdav import WebdavStorage

if TYPE_CHECKING:
    from gemel.infra.lake.storages._stac import StacStorage

__all__ = [
    "HOME",
    "PIECE",
    "Declaration",
    "Entry",
    "FdbStorage",
    "HttpStorage",
    "Journal",
    "LocalStorage",
    "RangedFile",
    "Readable",
    "S3Storage",
    "StacStorage",
    "Standing",
    "Standings",
    "Storage",
    "Storages",
    "TokenSource",
    "Tokens",
    "WebdavStorage",
    "checked_path",
    "in_writing",
    "revealed",
    "translated",
]


def __getattr__(name: str) -> object:
    """Return what is loaded when it is first asked for: catalogues need the libraries of cubes, other storages do not."""
    if name == "StacStorage":
        return importlib.import_module("gemel.infra.lake.storages._stac").StacStorage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
