"""Digests of a file: where each is from, and whether two readings that do not depend on each other agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gemel.base.errors import InvalidInput, ResultCorrupt

#: Hexadecimal digits of each algorithm that is known.
LENGTHS = {"sha256": 64, "adler32": 8, "md5": 32}
#: Prefixes of the multiformats table (code, then length) for `file:checksum` of STAC; Adler-32 has none.
_MULTIHASH = {"sha256": "1220", "md5": "d50110"}


@dataclass(frozen=True)
class Digest:
    """A digest in hexadecimal.

    Attributes:
        value: Lower-case hexadecimal.
        origin: `given` by a person; told by the `source` or by the `destination` of a copy; computed in the `stream`.
        confirmed: When another reading agreed with it, in seconds since 1970-01-01 UTC; None for not yet.
    """

    value: str
    origin: str
    confirmed: float | None = None


class Sightings:
    """What was seen of one file's digests, by whom: a contradiction is an error, agreement a confirmation.

    Args:
        what: Name of the file, for messages.
        known: Digests that it must have, by algorithm.

    >>> seen = Sightings("a:b", {"md5": "00" * 16})
    >>> seen.add("source", {"adler32": "11e60398"}), seen.add("destination", {"adler32": "11e60398", "md5": "00" * 16})
    (False, True)
    >>> sorted(seen.confirmed()), seen.fresh()
    (['adler32', 'md5'], {'adler32': Digest(value='11e60398', origin='source', confirmed=None)})
    """

    def __init__(self, what: str, known: Mapping[str, str]) -> None:
        self._what, self._known = what, dict(known)
        self._values: dict[str, str] = dict(known)
        self._origins: dict[str, list[str]] = {name: ["known"] for name in known}

    @property
    def expected(self) -> Mapping[str, str]:
        """Return every digest known by now, by algorithm."""
        return self._values

    def add(self, origin: str, digests: Mapping[str, str | None]) -> bool:
        """Return whether one of `digests` could be compared with what was known before.

        Raises:
            ResultCorrupt: One is another than was known.
        """
        compared = False
        for name, value in digests.items():
            if value is None:
                continue
            expected = self._values.setdefault(name, value)
            compared = compared or bool(self._origins.get(name))
            if value != expected:
                message = f"{self._what}: the {name} digest of the {origin} is {value}, not {expected}."
                raise ResultCorrupt(message, hint="gemel data verify", expected=expected, found=value)
            self._origins.setdefault(name, []).append(origin)
        return compared

    def fresh(self) -> dict[str, Digest]:
        """Return the digests that were not known at first, with the origin that told each first."""
        found = {name: origins[0] for name, origins in self._origins.items() if name not in self._known}
        return {name: Digest(self._values[name], origin) for name, origin in found.items()}

    def confirmed(self) -> frozenset[str]:
        """Return the algorithms whose digest was seen more than once."""
        return frozenset(name for name, origins in self._origins.items() if len(origins) > 1)


def checked_digests(digests: Mapping[str, str]) -> dict[str, str]:
    """Return digests that were given, in lower case.

    Raises:
        InvalidInput: An algorithm is unknown, or a digest cannot be one of it.
    """
    for name, value in digests.items():
        if name not in LENGTHS:
            raise InvalidInput(f"'{name}' is no digest that is known.", hint=f"Known: {', '.join(LENGTHS)}.")
        if len(value) != LENGTHS[name] or set(value.lower()) - set("0123456789abcdef"):
            raise InvalidInput(f"{value[:80]!r} is no {name} digest: it has {LENGTHS[name]} hexadecimal digits.")
    return {name: value.lower() for name, value in digests.items()}


def multihash(digests: Mapping[str, Digest]) -> str | None:
    """Return the strongest of some digests as a multihash in hexadecimal (`file:checksum` of STAC), or None.

    >>> multihash({"md5": Digest("00" * 16, "given")})[:8]
    'd5011000'
    """
    return next((prefix + digests[name].value for name, prefix in _MULTIHASH.items() if name in digests), None)
