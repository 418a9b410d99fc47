"""Storages: places where datasets lie, each behind one small protocol, declared by name and reached with its own token."""

from gemel.infra.lake.storages._declared import HOME, Declaration, Journal, Storages
from gemel.infra.lake.storages._http import HttpStorage
from gemel.infra.lake.storages._local import LocalStorage
from gemel.infra.lake.storages._ranged import RangedFile
from gemel.infra.lake.storages._s3 import S3Storage
from gemel.infra.lake.storages._storage import PIECE, Entry, Readable, Storage, checked_path
from gemel.infra.lake.storages._webdav import WebdavStorage

__all__ = [
    "HOME",
    "PIECE",
    "Declaration",
    "Entry",
    "HttpStorage",
    "Journal",
    "LocalStorage",
    "RangedFile",
    "Readable",
    "S3Storage",
    "Storage",
    "Storages",
    "WebdavStorage",
    "checked_path",
]
