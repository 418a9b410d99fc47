"""Names of datasets: `scope:name`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from gemel.base.errors import InvalidInput

_SCOPE = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
_BYTES = 200  # leaves room for what storages add, below the 255 bytes of a file's name
_HINT = "Write scope:name, such as fulda:daily.nc: no slashes, colons, control characters; not '..'; 200 bytes at most."


@dataclass(frozen=True, order=True)
class Name:
    """The name of a file, a dataset or a container."""

    scope: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Name:
        """Return the name that `text` spells; letters with accents in their composed form (NFC).

        Raises:
            InvalidInput: It spells none.

        >>> Name.parse("fulda:rain 2020.nc")
        Name(scope='fulda', name='rain 2020.nc')
        """
        scope, colon, name = unicodedata.normalize("NFC", text).partition(":")
        strange = any(unicodedata.category(sign) in ("Cc", "Cs", "Cf", "Zl", "Zp") for sign in name)
        wrong = strange or not name or name in (".", "..") or any(sign in name for sign in "/\\:")
        wrong = wrong or name != name.strip() or "*" in name or "?" in name
        if not colon or not _SCOPE.fullmatch(scope) or wrong or len(name.encode(errors="replace")) > _BYTES:
            raise InvalidInput(f"{text[:80]!r} is no name of a dataset.", hint=_HINT)
        return cls(scope, name)

    def __str__(self) -> str:
        """Return `scope:name`."""
        return f"{self.scope}:{self.name}"

    def path(self, id: str) -> str:
        """Return where a replica of it lies on a storage: a new place for each, in letters that every server takes."""
        return f"{self.scope}/{id}/{re.sub(r'[^A-Za-z0-9._-]', '_', self.name)}"
