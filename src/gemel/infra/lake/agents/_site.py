"""What an agent is told of its site: on the command line, or in one file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gemel.base.errors import ConfigInvalid, did_you_mean

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MOST = 64


@dataclass(frozen=True)
class Site:
    """A site.

    Attributes:
        engine: Address of the engine.
        storage: Which of its storages is here.
        folder: Where its files lie; nothing outside of it is touched.
        token: Where the agent's token is: `env:NAME` or `file:PATH`, read anew each time.
        ca: A file of certificates to trust for the engine, where the system's are not enough.
        tasks: So many at a time.

    >>> Site("http://engine.example.org", "hpc", Path.cwd(), "env:TOKEN").in_clear
    True
    """

    engine: str
    storage: str
    folder: Path
    token: str
    ca: str | None = None
    tasks: int = 4

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ConfigInvalid: It cannot.
        """
        parts = urlsplit(self.engine)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ConfigInvalid(f"'{self.engine[:200]}' is no address of an engine.", hint="--engine https://…")
        if self.token.partition(":")[0] not in ("env", "file"):
            hint = "Write env:VARIABLE or file:PATH: a secret on the command line can be read by everybody here."
            raise ConfigInvalid("The token must be said by where it is.", hint=hint)
        if not self.folder.is_dir():
            raise ConfigInvalid(f"There is no folder '{self.folder}'.", hint=f"mkdir -p '{self.folder}'")
        if not 1 <= self.tasks <= _MOST:
            raise ConfigInvalid(f"An agent does 1 to {_MOST} tasks at a time.")

    @property
    def in_clear(self) -> bool:
        """Whether token and data would cross a network unencrypted."""
        parts = urlsplit(self.engine)
        return parts.scheme == "http" and parts.hostname not in _LOOPBACK

    @classmethod
    def read(cls, file: Path | None, given: Mapping[str, Any]) -> Site:
        """Return the site that a file (table `agent`) and options describe; options have the last word.

        Raises:
            ConfigInvalid: The file cannot be read, or something is unknown, missing or of the wrong type.
        """
        values = _table(file) if file is not None else {}
        values |= {name: value for name, value in given.items() if value is not None}
        known = {item.name for item in fields(cls)}
        for name in values:
            if name not in known:
                raise ConfigInvalid(f"Unknown key '{name}' of an agent.", hint=did_you_mean(name, known))
        for name in ("engine", "storage", "folder", "token"):
            if not values.get(name):
                raise ConfigInvalid(f"The agent is not told its {name}.", hint=f"--{name}, or in site.toml: [agent]")
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int if name == "tasks" else (str, Path)):
                raise ConfigInvalid(f"'{name}' of an agent cannot be {value!r}.")
        folder = Path(values.pop("folder")).expanduser().absolute()
        return cls(folder=folder, **values)


def _table(file: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"'{file}' cannot be read: {error}.", hint="Check the TOML at the line named.") from error
    table = document.get("agent")
    if not isinstance(table, dict):
        raise ConfigInvalid(f"'{file}' has no table [agent].", hint="[agent] with engine, storage, folder, token")
    return dict(table)
