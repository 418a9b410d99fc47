"""A token, and what one is wanted for."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from gemel.base.config import secret
from gemel.base.errors import ConfigInvalid, InvalidInput
from gemel.infra.lake.storages._storage import checked_path
from gemel.infra.lake.tokens._macaroon import Macaroon

Operation = Literal["read", "write", "delete"]
OPERATIONS: tuple[str, ...] = get_args(Operation)
_TEXT = 32_768  # characters of a token; servers take no longer headers


@dataclass(frozen=True)
class Token:
    """A bearer token.

    Attributes:
        value: What stands in the header; not shown.
        expires: Seconds since 1970-01-01 UTC by this machine's clock, or None where nobody says so.

    >>> Token("s3cret", 1.0)
    Token(expires=1.0)
    """

    value: str = field(repr=False)
    expires: float | None = None


@dataclass(frozen=True)
class Wanted:
    """What a token is wanted for.

    Attributes:
        profile: Name of the token profile.
        storage: Name of the storage that will be shown it.
        operation: One of `read` (content, properties, lists), `write` (all that changes) and `delete`.
        folder: Of the file, on the server, from its root and without a slash at the end, or ``/``.
        seconds: How long it has to last, where that matters.
        chain: Profiles that wait for this one.
    """

    profile: str
    storage: str
    operation: str
    folder: str
    seconds: float | None = None
    chain: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        """How messages name it."""
        return f"Token profile '{self.profile}' (storage '{self.storage}')"

    @property
    def context(self) -> dict[str, str]:
        """What errors carry."""
        return {"profile": self.profile, "storage": self.storage}


def wanted(profile: str, storage: str, operation: str, path: str, seconds: float | None = None) -> Wanted:
    """Return what a token is wanted for, from the path of a file, or of a folder with a slash at its end.

    Raises:
        InvalidInput: There is no such operation, or the path is none.

    >>> wanted("p", "s", "read", "/data/rain/1988.nc").folder, wanted("p", "s", "read", "/").folder
    ('/data/rain', '/')
    """
    if operation not in OPERATIONS:
        raise InvalidInput(f"{operation!r} is no operation of a token.", hint=f"Known: {', '.join(OPERATIONS)}.")
    folder = path.rpartition("/")[0].strip("/")
    if path.strip("/"):
        checked_path(path.strip("/"))
    return Wanted(profile, storage, operation, f"/{folder}", seconds)


def below(folder: str, top: str) -> bool:
    """Return whether a folder is `top` or lies in it."""
    return top == "/" or folder == top or folder.startswith(f"{top}/")


def revealed(wanted: Wanted, option: str, reference: str) -> str:
    """Return the secret behind a reference, read anew.

    Raises:
        ConfigInvalid: It is not there, or is empty.
    """
    problem = ""
    try:
        found = secret(reference)
    except ConfigInvalid as error:
        found, problem = "", error.message
    if not found:
        message = f"{wanted.who}: the secret of '{option}' ({reference}) is missing. {problem}".rstrip()
        raise ConfigInvalid(message, hint=f"Where does {option}= point to?", **wanted.context)
    return found


def bearer(wanted: Wanted, text: Any) -> str:
    """Return a token as it is when it can stand in a header.

    Raises:
        ConfigInvalid: It cannot; the message repeats nothing of it.
    """
    if not isinstance(text, str) or not 0 < len(text) <= _TEXT or not all("!" <= sign <= "~" for sign in text):
        message = f"{wanted.who} has a token that is no line of ASCII text without blanks."
        raise ConfigInvalid(message, hint="Is it the token itself?", **wanted.context)
    return text


def ending(value: str) -> float | None:
    """Return when a JSON Web Token or a macaroon says that it ends, in seconds since 1970-01-01 UTC, or None."""
    found = number(claims(value).get("exp"))
    if found is not None:
        return found
    try:
        return Macaroon.parse(value).expires
    except InvalidInput:
        return None


def number(value: Any) -> float | None:
    """Return a number that a server gave, which some write as text, or None when it is none that is finite.

    >>> number(3600), number("3600"), number(True), number("soon"), number(float("nan"))
    (3600.0, 3600.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def claims(value: str) -> dict[str, Any]:
    """Return what a JSON Web Token (RFC 7519) claims, unverified; nothing for any other token."""
    parts = value.split(".")
    if len(parts) != 3 or len(value) > _TEXT:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
