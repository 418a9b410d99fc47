"""Identifiers and digests: sortable ids for records, SHA-256 digests for content."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_CHUNK = 1 << 20
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def new_id(prefix: str) -> str:
    """Return a new id such as ``run-01jd…`` whose text order is its time order.

    The 26 characters are a ULID (48-bit milliseconds, 80 random bits, Crockford base 32).

    >>> first, second = new_id("run"), new_id("run")
    >>> first.startswith("run-"), len(first)
    (True, 30)
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return f"{prefix}-" + "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def canonical_json(value: Any) -> bytes:
    """Return the one JSON spelling of `value`: sorted keys, no blanks, UTF-8.

    Raises:
        TypeError: `value` holds something that is not JSON.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    return _CANONICAL.encode(value).encode()


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 digest of `data` as 64 hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """Return the digest of the canonical JSON of `value`.

    >>> digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
    True
    """
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """Return the SHA-256 digest of a file's bytes, read in pieces of 1 MiB."""
    hasher = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            hasher.update(piece)
    return hasher.hexdigest()
