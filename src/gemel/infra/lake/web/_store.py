"""A Zarr store on the web, read chunk by chunk; it needs consolidated metadata, for a host lists nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import httpx2
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype

from gemel.base.errors import Denied, StoreUnavailable
from gemel.infra.lake.web._client import Web

_MISSING = (403, 404, 410)  # object stores say 403 of what is not there when listing is denied


class WebStore(Store):
    """The store below an address.

    Args:
        address: Of the store's root.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, address: str) -> None:
        super().__init__(read_only=True)
        self._root = address.rstrip("/")
        Web().check(address)
        self._http = httpx2.Client(timeout=60.0, follow_redirects=True)

    def __eq__(self, other: object) -> bool:
        """Return whether it is the store at the same address."""
        return isinstance(other, WebStore) and other._root == self._root

    __hash__ = None  # type: ignore[assignment]

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return the bytes under a key, or None."""
        content = await asyncio.to_thread(self._fetch, key, _range(byte_range))
        return None if content is None else prototype.buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return the bytes under several keys."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Return whether there is a key."""
        return await asyncio.to_thread(self._fetch, key, "bytes=0-0") is not None

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse: the store is only read."""
        raise Denied("A store on the web is only read.")

    async def delete(self, key: str) -> None:
        """Refuse: the store is only read."""
        raise Denied("A store on the web is only read.")

    async def list(self) -> AsyncIterator[str]:
        """Yield nothing: a host does not list."""
        nothing: tuple[str, ...] = ()
        for key in nothing:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield nothing: a host does not list."""
        nothing: tuple[str, ...] = ()
        for key in nothing:
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield nothing: a host does not list."""
        nothing: tuple[str, ...] = ()
        for key in nothing:
            yield key

    def _fetch(self, key: str, part: str | None) -> bytes | None:
        try:
            answer = self._http.get(f"{self._root}/{key}", headers={"Range": part} if part else {})
        except httpx2.HTTPError as error:
            raise StoreUnavailable(f"'{self._root}' cannot be reached: {error}.", hint="Try again later.") from error
        if answer.status_code in _MISSING:
            return None
        if not answer.is_success:
            raise StoreUnavailable(f"'{self._root}' fails with status {answer.status_code}.", hint="Try again later.")
        return answer.content


def _range(part: ByteRequest | None) -> str | None:
    if part is None:
        return None
    if isinstance(part, RangeByteRequest):
        return f"bytes={part.start}-{part.end - 1}"
    if isinstance(part, OffsetByteRequest):
        return f"bytes={part.offset}-"
    return f"bytes=-{part.suffix}"
