"""Buckets of S3 (Amazon, Ceph, MinIO, rclone, ...), through the package `obstore`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import httpx2

from gemel.base.errors import ConfigInvalid, Denied, GemelError, StoreFull, StoreUnavailable, Unauthenticated
from gemel.base.plugins import require
from gemel.infra.lake.storages._ranged import ranged
from gemel.infra.lake.storages._storage import (
    PIECE,
    Entry,
    Readable,
    Statted,
    changed,
    checked_options,
    checked_path,
    cut_off,
    missing,
    revealed,
)
from gemel.infra.lake.web import Web

_PART = 8 << 20  # bytes of one part of an upload; S3 wants 5 MiB at least and 10,000 parts at most: 80 GiB


class S3Storage(Statted):
    """A bucket, or the part of it below a prefix.

    Args:
        name: As declared.
        options: `bucket`; `endpoint` (default: Amazon's); `prefix`; `region` (default us-east-1); `key` and `secret`,
            references to the access key and its secret (default: the bucket is public); `session`, one to a token.
    """

    kind = "s3"
    writable = True

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        known = dict.fromkeys(("endpoint", "prefix", "region", "key", "secret", "session"), False) | {"bucket": True}
        checked_options(self.kind, options, known, ("key", "secret", "session"))
        if ("key" in options) != ("secret" in options):
            raise ConfigInvalid("A storage of the kind 's3' needs both 'key' and 'secret', or neither.")
        if "endpoint" in options:
            with Web() as web:
                web.check(options["endpoint"])
        self.name = name
        self._options = dict(options)
        self._prefix = f"{checked_path(options['prefix'].strip('/'))}/" if options.get("prefix") else ""
        self._lib: Any = require("obstore", extra="data")
        self._errors: Any = require("obstore.exceptions", extra="data")
        self._http = httpx2.Client(timeout=60.0, headers={"Accept-Encoding": "identity"})
        self._opened: tuple[tuple[str, ...], Any] | None = None

    def path_of(self, bucket: str, key: str) -> str | None:
        """Return the path here of an object of a bucket, or None when it does not lie here."""
        inside = bucket == self._options["bucket"] and key.startswith(self._prefix)
        return key.removeprefix(self._prefix) if inside else None

    def _bucket(self) -> Any:
        # Keys are looked up each time: those that were renewed are used.
        keys = tuple(
            revealed(self.name, self._options.get(item, "")) for item in ("key", "secret") if "key" in self._options
        )
        keys += (revealed(self.name, self._options["session"]),) if "session" in self._options else ()
        if self._opened is None or self._opened[0] != keys:
            self._opened = keys, self._connected(keys)
        return self._opened[1]

    def _connected(self, keys: tuple[str, ...]) -> Any:
        endpoint = self._options.get("endpoint")
        config: dict[str, Any] = {"region": self._options.get("region", "us-east-1")}
        config |= dict(zip(("access_key_id", "secret_access_key", "session_token"), keys, strict=False))
        config |= {"endpoint": endpoint} if endpoint else {}
        config |= {} if keys else {"skip_signature": True}
        plain = bool(endpoint) and urlsplit(str(endpoint)).scheme == "http"
        client = {"allow_http": plain, "connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=120)}
        retry = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
        return self._lib.store.S3Store(self._options["bucket"], client_options=client, retry_config=retry, **config)

    def stat(self, path: str) -> Entry:
        """Return what is known of a file."""
        with self._reached(path):
            return self._entry(self._lib.head(self._bucket(), self._key(path)))

    def open(self, path: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """Return a part of a file that reads ranges."""
        entry = self.stat(path)
        return ranged(path, entry.size, offset, length, lambda start, stop: self._fetch(entry, start, stop))

    def _fetch(self, entry: Entry, start: int, stop: int) -> bytes:
        # Some servers answer a range that is the whole with the whole, which the library takes for a mistake.
        options: dict[str, Any] = {} if (start, stop) == (0, entry.size) else {"range": (start, stop)}
        options |= {"if_match": entry.version} if entry.version else {}
        with self._reached(entry.path):
            try:
                found = bytes(self._lib.get(self._bucket(), self._key(entry.path), options=options).bytes())
            except self._errors.GenericError as error:
                if "non-partial" not in str(error):
                    raise
                found = self._fetch_signed(entry, start, stop)
        if len(found) != stop - start:
            raise cut_off(self.name, entry.path, stop - start, len(found))
        return found

    def _fetch_signed(self, entry: Entry, start: int, stop: int) -> bytes:
        """Return a range from a server that sends it with status 200 (rclone), which the library does not take."""
        address = str(self._lib.sign(self._bucket(), "GET", self._key(entry.path), timedelta(minutes=10)))
        headers = {"Range": f"bytes={start}-{stop - 1}", "If-Match": entry.version or "*"}
        try:
            answer = self._http.get(address, headers=headers)
        except httpx2.HTTPError as error:
            # The signed address must not come up in a message.
            raise StoreUnavailable(f"Storage '{self.name}' broke off at '{entry.path}'.", storage=self.name) from error
        if not answer.is_success:
            raise StoreUnavailable(f"Storage '{self.name}' answers with status {answer.status_code} at '{entry.path}'.")
        return answer.content

    def write(self, path: str, stream: Readable, size: int | None = None) -> int:
        """Return how many bytes were written; an object appears whole or not at all.

        Parts of an upload that was killed stay invisible with the server until its own rules for them clear them.
        """
        counted, failed = [0], list[BaseException]()
        with self._reached(path):
            try:
                pieces = _pieces(stream, counted, failed)
                self._lib.put(self._bucket(), self._key(path), pieces, use_multipart=True, chunk_size=_PART)
            except Exception:
                # The library dresses up what the stream raised.
                if failed:
                    raise failed[0] from None
                raise
        there = self.stat(path).size
        if there != counted[0]:
            raise cut_off(self.name, path, counted[0], there)
        return counted[0]

    def delete(self, path: str) -> None:
        """Remove a file."""
        self.stat(path)
        with self._reached(path):
            self._lib.delete(self._bucket(), self._key(path))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all files below a folder."""
        top = self._prefix + (checked_path(prefix.rstrip("/")) if prefix else "")
        with self._reached(prefix or "/"):
            for batch in self._lib.list(self._bucket(), prefix=top or None):
                yield from (self._entry(item) for item in batch)

    def digest(self, path: str, algorithm: str) -> str | None:
        """Return None: an ETag is the MD5 digest of the content on some servers only, and for some uploads only."""
        return None

    def url(self, path: str) -> str:
        """Return the file's address (s3://bucket/key)."""
        return f"s3://{self._options['bucket']}/{self._key(path)}"

    def signed(self, path: str, seconds: int) -> str | None:
        """Return an address that is signed for reading."""
        with self._reached(path):
            if "key" not in self._options:
                return None
            return str(self._lib.sign(self._bucket(), "GET", self._key(path), timedelta(seconds=seconds)))

    def close(self) -> None:
        """Let connections go."""
        self._opened = None
        self._http.close()

    def _key(self, path: str) -> str:
        return self._prefix + checked_path(path)

    def _entry(self, meta: Any) -> Entry:
        path = str(meta["path"]).removeprefix(self._prefix)
        return Entry(path, int(meta["size"]), meta["last_modified"].timestamp(), meta.get("e_tag"))

    @contextlib.contextmanager
    def _reached(self, path: str) -> Iterator[None]:
        errors, where = self._errors, f"'{path}' on storage '{self.name}'"
        try:
            yield
        except GemelError:
            raise
        except (errors.NotFoundError, FileNotFoundError) as error:
            raise missing(self.name, path) from error
        except errors.UnauthenticatedError as error:
            raise Unauthenticated(f"{where} needs a valid key.", hint="Are key and secret right?") from error
        except errors.PermissionDeniedError as error:
            raise Denied(
                f"Access to {where} is denied.", hint="Are key and secret right, and do they allow this?"
            ) from error
        except errors.PreconditionError as error:
            raise changed(self.name, path) from error
        except (errors.BaseError, OSError) as error:
            self._refuse(path, error)

    def _refuse(self, path: str, error: BaseException) -> None:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        if "XMinioStorageFull" in str(error) or "507 " in str(error) or "no space left" in str(error).lower():
            raise StoreFull(f"No space is left on storage '{self.name}'.", hint="Nothing was half-written.") from error
        reason = lines[0][:200].rstrip(".") if lines else type(error).__name__
        hint = "Is it up, and its address right? gemel data storages"
        message = f"Storage '{self.name}' cannot be reached, or broke off, at '{path}': {reason}."
        raise StoreUnavailable(message, hint=hint, storage=self.name, path=path) from error


def _pieces(stream: Readable, counted: list[int], failed: list[BaseException]) -> Iterator[bytes]:
    try:
        while piece := stream.read(PIECE):
            counted[0] += len(piece)
            yield piece
    except BaseException as error:
        failed.append(error)
        raise
