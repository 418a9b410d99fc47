"""Profiles of macaroons: minted with a server's secret, asked of a server, or narrowed from a given one."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote

from gemel.base.errors import ConfigInvalid, Denied, InvalidInput
from gemel.infra.lake.tokens._endpoint import checked_address
from gemel.infra.lake.tokens._kinds import Kind, one_of
from gemel.infra.lake.tokens._macaroon import Macaroon
from gemel.infra.lake.tokens._token import Token, Wanted, bearer, revealed

# The activities that XRootD and dCache know, the one that the operation cannot do without first.
_ACTIVITIES: Mapping[str, tuple[str, ...]] = {
    "read": ("DOWNLOAD", "READ_METADATA", "LIST"),
    "write": ("UPLOAD", "MANAGE", "DELETE", "READ_METADATA", "LIST"),
    "delete": ("DELETE", "READ_METADATA", "LIST"),
}
_SECONDS = 3600.0
_SPARE = 5.0  # seconds that asking and rounding may take
_REQUEST = {"Content-Type": "application/macaroon-request"}


class Macaroons(Kind):
    """Macaroons for one folder and one kind of activity.

    Options: `secret` (of the server, base64) and `location` (its name of itself) to mint them; or `token` or `profile`
    for a macaroon that is narrowed; with `url` (the server's root) too, that token is shown to the server, which
    mints. `name` (of the holder, for the server's records), `seconds` (3600; XRootD takes none above its
    `macaroons.maxduration`, a day by default), `folder` (that all tokens are for,
    instead of each file's own) and `ca`.
    """

    known: ClassVar[Mapping[str, bool]] = {
        "secret": False, "location": False, "token": False, "profile": False, "url": False,
        "name": False, "seconds": False, "folder": False, "ca": False,
    }  # fmt: skip
    secrets: ClassVar[tuple[str, ...]] = ("secret", "token")

    def check(self) -> None:
        """Raise when the options contradict each other."""
        self._way = one_of(self.name, self.options, "secret", "token", "profile")
        if (self._way == "secret") != ("location" in self.options):
            raise ConfigInvalid(
                "The options 'secret' and 'location' go together.", hint="location= is the site's name."
            )
        if "url" in self.options:
            checked_address("the server of macaroons", self.options["url"])
            if self._way == "secret":
                raise ConfigInvalid("With 'secret' no server is asked.", hint="Leave out secret= or url=.")
        seconds = self.options.get("seconds", "3600")
        if not seconds.isdecimal() or not 0 < int(seconds) < 10**8:
            raise ConfigInvalid(f"seconds={seconds[:20]!r} is no number of seconds.", hint="seconds=3600")

    @property
    def uses(self) -> tuple[str, ...]:
        """The profile whose token is narrowed or shown."""
        return (self.options["profile"],) if self._way == "profile" else ()

    def scope(self, wanted: Wanted) -> str:
        """Return the activities and the folder, and what the token below differs by."""
        under = self.tools.others.scope(self.options["profile"], wanted) if self.uses else ""
        return f"{','.join(_ACTIVITIES[wanted.operation])} {self.top(wanted)} {under}"

    def ask(self, wanted: Wanted) -> Token:
        """Return a new macaroon."""
        seconds = max(float(self.options.get("seconds", _SECONDS)), (wanted.seconds or 0.0) + _SPARE)
        if self._way == "secret":
            return _token(self._minted(wanted, seconds))
        given = self._given(wanted)
        made = self._asked(wanted, given, seconds) if "url" in self.options else self._parsed(wanted, given)
        self._require_enough(wanted, made)
        return _token(made.attenuated(self._caveats(wanted, seconds)))

    def _minted(self, wanted: Wanted, seconds: float) -> Macaroon:
        text = revealed(wanted, "secret", self.options["secret"])
        try:
            key = base64.b64decode("".join(text.split()), validate=True)
        except ValueError:
            key = b""
        if not key:
            raise ConfigInvalid(f"{wanted.who}: its secret is no base64.", **wanted.context)
        # In the order in which XRootD itself writes them.
        caveats = [f"name:{self.options.get('name', 'gemel')}", *self._caveats(wanted, seconds)]
        return Macaroon.mint(key, self.options["location"], secrets.token_hex(16), caveats)

    def _caveats(self, wanted: Wanted, seconds: float) -> list[str]:
        before = datetime.fromtimestamp(time.time() + seconds, UTC)
        activities = ",".join(_ACTIVITIES[wanted.operation])
        # XRootD compares paths letter by letter: without the slash `/rain` would be good for `/rain2` too.
        folder = self.top(wanted).rstrip("/") + "/"
        return [f"activity:{activities}", f"path:{folder}", f"before:{before:%Y-%m-%dT%H:%M:%SZ}"]

    def _given(self, wanted: Wanted) -> str:
        if self._way == "profile":
            return self.tools.others.token(self.options["profile"], wanted)
        return bearer(wanted, revealed(wanted, "token", self.options["token"]))

    def _asked(self, wanted: Wanted, given: str, seconds: float) -> Macaroon:
        caveats = [f"activity:{','.join(_ACTIVITIES[wanted.operation])}"]
        content = json.dumps({"caveats": caveats, "validity": f"PT{int(seconds)}S"}).encode()
        # Both XRootD and dCache narrow what they mint to the path that is asked at.
        address = self.options["url"].rstrip("/") + quote(self.top(wanted))
        headers = {**_REQUEST, "Authorization": f"Bearer {given}"}
        answer = self.tools.endpoints.post(
            wanted, address, content=content, headers=headers, ca=self.options.get("ca", "")
        )
        return self._parsed(wanted, answer.document.get("macaroon"))

    def _parsed(self, wanted: Wanted, text: Any) -> Macaroon:
        try:
            return Macaroon.parse(bearer(wanted, text))
        except InvalidInput as error:
            raise ConfigInvalid(f"{wanted.who}: {error.message}", **wanted.context) from error

    def _require_enough(self, wanted: Wanted, made: Macaroon) -> None:
        granted = [caveat.partition(":")[2].split(",") for caveat in made.caveats if caveat.startswith("activity:")]
        needed = _ACTIVITIES[wanted.operation][0]
        if not all(needed in activities for activities in granted):
            message = f"{wanted.who}: the macaroon does not allow {needed}, which '{wanted.operation}' needs."
            raise Denied(message, hint="Ask the storage's owner for more.", **wanted.context)


def _token(made: Macaroon) -> Token:
    return Token(made.text, made.expires)
