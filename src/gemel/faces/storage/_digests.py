"""Digests in headers (RFC 3230, RFC 9530, RFC 1864), and those of files: computed once for each version."""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from gemel.base.errors import InvalidInput
from gemel.faces.storage._flow import Stoppable
from gemel.faces.storage._tree import Node, Tree
from gemel.infra.lake.storages import PIECE
from gemel.infra.lake.transport import LENGTHS

_NAMES = {"adler32": "adler32", "adler": "adler32", "sha-256": "sha256", "sha256": "sha256", "md5": "md5"}
_RFC3230 = {"adler32": "adler32", "sha256": "sha-256", "md5": "md5"}
_RFC9530 = {"adler32": "adler", "sha256": "sha-256", "md5": "md5"}
_KEPT = 20_000  # versions of files
_SETTLED_SECONDS = 2.0  # times of files are coarse: one that was changed just now may change again unnoticed
_ASKED = {"Want-Digest": "adler32, sha-256;q=0.9, md5;q=0.5", "Want-Repr-Digest": "adler=9, sha-256=9, md5=5"}


class Digests:
    """Digests of files by version, a bounded number of them, for as long as the process lives."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._known: OrderedDict[tuple[str, str], dict[str, str]] = OrderedDict()
        self._kept = kept
        self._lock = threading.Lock()
        self._computing: dict[tuple[str, str], threading.Lock] = {}

    def known(self, storage: str, node: Node) -> dict[str, str]:
        """Return the digests that are known of a version, in hexadecimal by algorithm."""
        with self._lock:
            return dict(self._known.get((storage, node.version or ""), {}))

    def remember(self, storage: str, node: Node, found: Mapping[str, str]) -> None:
        """Keep digests of a version."""
        if node.version is None:
            return
        with self._lock:
            key = (storage, node.version)
            self._known[key] = self._known.get(key, {}) | dict(found)
            self._known.move_to_end(key)
            while len(self._known) > self._kept:
                self._known.popitem(last=False)

    def of(self, tree: Tree, path: str, wanted: Sequence[str], stopping: threading.Event) -> dict[str, str]:
        """Return digests of a file as it is now: all that are wanted and known, else the first, which is computed.

        Raises:
            Broken: `stopping` was set in the middle.
        """
        node = tree.look(path)
        key = (tree.storage.name, (node.version if node else None) or path)
        with self._lock:
            turn = self._computing.setdefault(key, threading.Lock())
        try:
            with turn:
                return self._found(tree, path, wanted, stopping)
        finally:
            with self._lock:
                self._computing.pop(key, None)

    def _found(self, tree: Tree, path: str, wanted: Sequence[str], stopping: threading.Event) -> dict[str, str]:
        name = tree.storage.name
        node, file = tree.open(path)
        with file:
            known = self.known(name, node)
            found = {algorithm: known[algorithm] for algorithm in wanted if algorithm in known}
            if found:
                return found
            reader = Stoppable(file, stopping)
            found = {wanted[0]: tree.storage.digest(path, wanted[0]) or computed(reader.read, wanted[0])}
        if known or node.modified is None or time.time() - node.modified > _SETTLED_SECONDS:
            self.remember(name, node, found)
        return found


def computed(read: Callable[[int], bytes], algorithm: str) -> str:
    """Return the digest of what is read to its end, in hexadecimal.

    >>> import io
    >>> computed(io.BytesIO(b"Wikipedia").read, "adler32")
    '11e60398'
    """
    if algorithm != "adler32":
        hasher = hashlib.new(algorithm, usedforsecurity=False)
        while piece := read(4 * PIECE):
            hasher.update(piece)
        return hasher.hexdigest()
    adler = 1  # RFC 1950, section 8.2: the sum begins with 1
    while piece := read(4 * PIECE):
        adler = zlib.adler32(piece, adler)
    return f"{adler:08x}"


def asked_of_others() -> dict[str, str]:
    """Return the headers that ask another server for a digest, in both forms."""
    return dict(_ASKED)


def wanted_of(headers: Mapping[str, str]) -> list[str]:
    """Return the algorithms that a request wants digests of; what we like best when it knows none of ours.

    >>> wanted_of({"want-digest": "md5;q=0.3, sha-512, adler32"}), wanted_of({"want-digest": "sha-512"}), wanted_of({})
    (['adler32', 'md5'], ['adler32'], [])
    """
    texts = [headers.get("want-digest", ""), headers.get("want-repr-digest", "")]
    if not any(texts):
        return []
    weighed: dict[str, float] = {}
    for item in ",".join(texts).split(","):
        name, _, weight = item.replace(";", "=").partition("=")
        known = _NAMES.get(name.strip().lower())
        if known and known not in weighed:
            weighed[known] = _weight(weight.rpartition("=")[2])
    chosen = sorted((name for name, weight in weighed.items() if weight > 0), key=lambda name: -weighed[name])
    return chosen or ["adler32"]


def told_in(headers: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that tell digests in the form that a request asked for."""
    told = {}
    if "want-digest" in headers:
        told["Digest"] = ",".join(
            f"{_RFC3230[name]}={value if name == 'adler32' else _base64(value)}" for name, value in found.items()
        )
    if "want-repr-digest" in headers:
        told["Repr-Digest"] = ", ".join(f"{_RFC9530[name]}=:{_base64(value)}:" for name, value in found.items())
    return told


def digests_in(headers: Mapping[str, str], strict: bool = False) -> dict[str, str]:
    """Return the digests of the whole that headers tell, in hexadecimal; those of other algorithms are left out.

    Args:
        headers: By lower-case name.
        strict: Raise for one that cannot be read; else it counts as not told.

    Raises:
        InvalidInput: One cannot be read, or two contradict each other.

    >>> digests_in({"digest": "adler32=11E60398, UNIXsum=1", "content-md5": "nMXH1PLGNkyoaZyZCxpn9g=="})["adler32"]
    '11e60398'
    """
    lines = [headers.get(name, "") for name in ("digest", "repr-digest")]
    lines += [f"md5={headers['content-md5']}"] if "content-md5" in headers else []
    found: dict[str, str] = {}
    for name, _, value in (item.strip().partition("=") for line in lines for item in line.split(",")):
        known = _NAMES.get(name.strip().lower())
        if known is None:
            continue
        digest = _hexadecimal(value, known)
        if strict and (digest is None or found.get(known, digest) != digest):
            raise InvalidInput(f"The {name} digest {value[:100]!r} cannot be read, or contradicts another.")
        if digest is not None:
            found[known] = digest
    return found


def _hexadecimal(value: str, algorithm: str) -> str | None:
    length = LENGTHS[algorithm]
    text = value.strip().strip('":').strip()
    if algorithm == "adler32" and 0 < len(text) <= length and not text.endswith("="):
        text = text.zfill(length)
    if len(text) == length and all(sign in "0123456789abcdefABCDEF" for sign in text):
        return text.lower()
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw.hex() if 2 * len(raw) == length else None


def _base64(value: str) -> str:
    return base64.b64encode(bytes.fromhex(value)).decode()


def _weight(text: str) -> float:
    try:
        return float(text.strip() or 1)
    except ValueError:
        return 1.0
