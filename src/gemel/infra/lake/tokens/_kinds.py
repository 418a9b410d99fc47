"""What all kinds of token profiles share, and the plainest of them."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from gemel.base.errors import ConfigInvalid
from gemel.infra.lake.storages._storage import checked_options, checked_path
from gemel.infra.lake.tokens._endpoint import Endpoints
from gemel.infra.lake.tokens._token import Token, Wanted, bearer, below, ending, revealed
from gemel.infra.lake.tokens._vault import Vault


class Others(Protocol):
    """The other profiles, as far as one that builds on them needs them."""

    def token(self, name: str, wanted: Wanted) -> str:
        """Return another profile's token for the same operation and folder."""
        ...

    def scope(self, name: str, wanted: Wanted) -> str:
        """Return what another profile's tokens differ by."""
        ...


@dataclass(frozen=True)
class Tools:
    """What kinds work with."""

    others: Others
    endpoints: Endpoints
    vault: Vault


class Kind(abc.ABC):
    """One profile that gives tokens.

    Args:
        options: As declared.
        tools: What it works with.

    Attributes:
        known: Names of options, and whether each is required.
        secrets: Those of them that must be references.
        cached: Whether its tokens may be used again.
    """

    known: ClassVar[Mapping[str, bool]]
    secrets: ClassVar[tuple[str, ...]]
    cached: ClassVar[bool] = True

    def __init__(self, name: str, options: Mapping[str, str], tools: Tools) -> None:
        checked_options(name, options, self.known, self.secrets, what="token profile")
        self.name, self.options, self.tools = name, options, tools
        if "folder" in options and options["folder"] != "/":
            checked_path(options["folder"].removeprefix("/"))
        self.check()

    def check(self) -> None:  # noqa: B027 - most kinds have nothing to add
        """Raise when options contradict each other."""

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of the profiles that it builds on."""
        return ()

    @abc.abstractmethod
    def scope(self, wanted: Wanted) -> str:
        """Return what its tokens differ by: what is wanted with the same scope is served by the same token."""

    @abc.abstractmethod
    def ask(self, wanted: Wanted) -> Token:
        """Return a new token."""

    def top(self, wanted: Wanted) -> str:
        """Return the folder that a token is for: the file's own, or the one that the profile names for all.

        Raises:
            ConfigInvalid: The file does not lie there.
        """
        folder = "/" + self.options.get("folder", wanted.folder).strip("/")
        if not below(wanted.folder, folder):
            message = f"{wanted.who} is for '{folder}', and '{wanted.folder}' is not below it."
            raise ConfigInvalid(message, hint="Change folder=, or use another profile.", **wanted.context)
        return folder


class Static(Kind):
    """The token that a variable or a file holds, read anew each time so that whoever renews it is heeded."""

    known: ClassVar[Mapping[str, bool]] = {"token": True}
    secrets: ClassVar[tuple[str, ...]] = ("token",)
    cached = False

    def scope(self, wanted: Wanted) -> str:
        """Return nothing: there is one token for all."""
        return ""

    def ask(self, wanted: Wanted) -> Token:
        """Return the token as it is now, with its end where it tells it."""
        value = bearer(wanted, revealed(wanted, "token", self.options["token"]))
        return Token(value, ending(value))


def one_of(kind: str, options: Mapping[str, str], *names: str) -> str:
    """Return which one of several options is there.

    Raises:
        ConfigInvalid: None is, or several are.
    """
    found = [name for name in names if options.get(name)]
    if len(found) != 1:
        hint = f"Write one of {', '.join(f'{name}=' for name in names)}."
        raise ConfigInvalid(f"A token profile of the kind '{kind}' needs exactly one of these options.", hint=hint)
    return found[0]
