"""Where the files of a STAC document lie: beside it, below the lake, or on the web; nowhere else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from gemel.base.errors import Denied, InvalidInput

_WEB = ("http", "https")


@dataclass(frozen=True)
class Place:
    """Where a file lies.

    Attributes:
        address: Its http(s) address, or its absolute path.
        remote: Whether it is on the web.
    """

    address: str
    remote: bool

    @property
    def path(self) -> Path:
        """Return it as a path; of an address, for its name alone."""
        return Path(urlsplit(self.address).path if self.remote else self.address)


def resolved(href: str, base: str | Path, roots: Sequence[Path] = ()) -> Place:
    """Return where `href` leads, as it stands in the document at `base`.

    Args:
        href: Of a link or an asset.
        base: The document's address (text) or its local file (a path).
        roots: Folders below which local files may lie, for a local document.

    Raises:
        InvalidInput: The reference is of a kind that is not followed.
        Denied: It leads to a local file outside of the folders.

    >>> resolved("a.tif", "https://example.org/items/i.json").address
    'https://example.org/items/a.tif'
    """
    parts = urlsplit(href)
    if parts.scheme in _WEB:
        return Place(href, True)
    if href.startswith("/vsi") or "\0" in href or (parts.scheme and parts.scheme != "file"):
        hint = "Only http, https and files of the lake are read."
        raise InvalidInput(f"The reference '{href[:200]}' is not followed.", hint=hint, href=href[:200])
    if isinstance(base, str):
        if parts.scheme == "file":
            raise Denied(f"A document on the web refers to the local file '{href[:200]}'.", href=href[:200])
        return Place(urljoin(base, href), True)
    return Place(str(_below(unquote(parts.path) if parts.scheme else href, base, roots)), False)


def confined(path: str, root: Path) -> Path | None:
    """Return the file that `path` means inside the folder `root` (which acts as the root folder), or None.

    >>> confined("../etc/passwd", Path("/srv/files")) is None
    True
    """
    if "\0" in path:
        return None
    found = (root / path.lstrip("/")).resolve()
    return found if found.is_relative_to(root.resolve()) else None


def _below(href: str, base: Path, roots: Sequence[Path]) -> Path:
    # Links inside the lake are set by whoever registers data, so they are followed; dots in a reference are not.
    found = Path(os.path.normpath(base.parent / href))
    if not any(found.is_relative_to(os.path.normpath(root)) for root in roots):
        hint = "Assets of a local document lie beside it or below the lake."
        raise Denied(f"The reference '{href[:200]}' leads out of the lake.", hint=hint, href=href[:200])
    return found
