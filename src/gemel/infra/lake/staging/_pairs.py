"""Names and paths that belong together, as people write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gemel.base.errors import InvalidInput
from gemel.infra.lake.datasets import Name


@dataclass(frozen=True)
class In:
    """An input: a file, or a group whose files go into a folder."""

    name: str
    path: Path

    @classmethod
    def parse(cls, text: str) -> In:
        """Return the input that `scope:name=path` says.

        Raises:
            InvalidInput: It says none.

        >>> In.parse("fulda:rain 2020.nc=in/a=b.nc").path
        PosixPath('in/a=b.nc')
        """
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise InvalidInput(f"'{text[:80]}' names no input.", hint="Write scope:name=path.")
        return cls(str(Name.parse(name)), Path(path))


@dataclass(frozen=True)
class Out:
    """An output."""

    path: Path
    name: str

    @classmethod
    def parse(cls, text: str) -> Out:
        """Return the output that `path=scope:name` says.

        Raises:
            InvalidInput: It says none.

        >>> Out.parse("out/a=b.nc=fulda:flow.nc").name
        'fulda:flow.nc'
        """
        path, equals, name = text.rpartition("=")
        if not equals or not path:
            raise InvalidInput(f"'{text[:80]}' names no output.", hint="Write path=scope:name.")
        return cls(Path(path), str(Name.parse(name)))
