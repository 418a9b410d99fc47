"""Names there and here: each can be spelled in the other's letters, and comes back as it was.

Rucio's generic schema takes ``[/A-Za-z0-9][/A-Za-z0-9._-]*`` of at most 250 signs as a name and ``[a-zA-Z_.0-9-]+`` of
at most 25 as a scope (`rucio.common.schema.generic` of Rucio 41). Bytes (UTF-8) beyond these are written there as
``__HH``, and slashes, which no name of gemel holds, are written here as ``%2F``.
"""

from __future__ import annotations

import re

from gemel.base.errors import InvalidInput
from gemel.infra.lake.datasets import Name
from gemel.infra.lake.storages import checked_path

_LONGEST = 250
_SCOPE = re.compile(r"[A-Za-z0-9._-]{1,25}")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/")
_HIDDEN = re.compile(r"((?:__[0-9A-F]{2})+)")
_LOOKS_HIDDEN = re.compile(r"_(?=_[0-9A-F]{2})")
_FIRST = re.compile(r"[A-Za-z0-9/]")
_SLASH = "%2F"


def there(text: str) -> str:
    """Return how a name, or a path on a storage, is spelled in Rucio.

    Raises:
        InvalidInput: It would be longer than Rucio takes, or could not be told from another one.

    >>> there("rain 2020.nc"), there("belle%2Fmc.root"), there(".hidden")
    ('rain__202020.nc', 'belle/mc.root', '0__2Ehidden')
    """
    found = _spelled(text.replace(_SLASH, "/"))
    if len(found) > _LONGEST:
        raise InvalidInput(f"'{text[:80]}' is too long for Rucio: {len(found)} signs there, and {_LONGEST} may be.")
    if not text or _plain(found).replace("/", _SLASH) != text.replace("/", _SLASH):
        raise InvalidInput(f"'{text[:80]}' cannot be told from another name in Rucio.", hint="Choose another name.")
    return found


def here(name: str) -> str:
    """Return how a name of Rucio's is spelled in gemel.

    Raises:
        InvalidInput: It could not be told from another one.

    >>> here("belle/mc.root"), here("rain__202020.nc")
    ('belle%2Fmc.root', 'rain 2020.nc')
    """
    found = _plain(name).replace("/", _SLASH)
    if _spelled(found.replace(_SLASH, "/")) != name:
        raise InvalidInput(f"'{name[:80]}' of Rucio cannot be told from another name here.")
    return found


def named_here(scope: str, name: str) -> Name:
    """Return the name of a data identifier of Rucio's, its scope being one of ours.

    Raises:
        InvalidInput: There is none.
    """
    return Name.parse(f"{scope}:{here(name)}")


def path_here(name: str) -> str:
    """Return the path on a storage of a name of Rucio's: with its slashes where these make folders.

    >>> path_here("mc/1/a.root"), path_here("/belle/a.root")
    ('mc/1/a.root', '%2Fbelle%2Fa.root')
    """
    spelled = here(name)
    try:
        return checked_path(spelled.replace(_SLASH, "/"))
    except InvalidInput:
        return checked_path(spelled)


def checked_scope(scope: str) -> str:
    """Return a scope as it is when Rucio can take it.

    Raises:
        InvalidInput: It cannot.
    """
    if not _SCOPE.fullmatch(scope):
        raise InvalidInput(f"Rucio takes no scope '{scope[:80]}': 25 letters, digits, '.', '_' and '-' at most.")
    return scope


def _spelled(text: str) -> str:
    # What looks like a spelled byte already must not be taken for one later.
    guarded = _LOOKS_HIDDEN.sub("\0", text)
    signs = (f"__{sign:02X}" if sign not in _PLAIN else chr(sign) for sign in guarded.encode(errors="surrogatepass"))
    found = "".join(signs).replace("__00", "__5F")
    if found[:1] == "0" and _HIDDEN.match(found, 1):
        return f"0__30{found[1:]}"
    if found and not _FIRST.match(found):
        return f"0{found}" if _HIDDEN.match(found) else f"0__{ord(found[0]):02X}{found[1:]}"
    return found


def _plain(name: str) -> str:
    text = name[1:] if name[:1] == "0" and _HIDDEN.match(name, 1) else name
    return _HIDDEN.sub(_bytes_of, text)


def _bytes_of(match: re.Match[str]) -> str:
    try:
        return bytes(int(part, 16) for part in match[0].split("__")[1:]).decode()
    except UnicodeDecodeError:
        return match[0]
