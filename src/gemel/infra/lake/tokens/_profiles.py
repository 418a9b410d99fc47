"""Token profiles by name: how to get a token, without the secrets that it takes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.errors import ConfigInvalid, Conflict, InvalidInput, did_you_mean, not_found
from gemel.infra.lake.storages import Journal
from gemel.infra.lake.tokens._kinds import Kind, Static, Tools
from gemel.infra.lake.tokens._minting import Macaroons
from gemel.infra.lake.tokens._oauth import ClientCredentials, Exchange, Refresh

KINDS: Mapping[str, type[Kind]] = {
    "static": Static,
    "macaroon": Macaroons,
    "client_credentials": ClientCredentials,
    "refresh": Refresh,
    "exchange": Exchange,
}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


@dataclass(frozen=True)
class Profile:
    """How tokens are got; secrets stand there by reference.

    Attributes:
        name: Of the profile.
        kind: One of `KINDS`.
        options: By name.
        created: Seconds since 1970-01-01 UTC.
    """

    name: str
    kind: str
    options: Mapping[str, str]
    created: float


class Profiles:
    """The declared profiles.

    Args:
        journal: Where they are kept.
        tables: Of the journal, by name.
        tools: What kinds work with.
    """

    def __init__(self, journal: Journal, tables: Mapping[str, sql.Table], tools: Tools) -> None:
        self._journal, self._tools = journal, tools
        self._table, self._storages = tables["token_profiles"], tables["storages"]

    def get(self, name: str) -> Profile:
        """Return a profile.

        Raises:
            NotFound: There is none.
        """
        with self._journal.read() as connection:
            row = connection.execute(sql.select(self._table).where(self._table.c.name == name)).mappings().first()
        if row is None:
            raise not_found("token profile", name, [item.name for item in self.list()])
        return _profile(row)

    def kind(self, profile: Profile) -> Kind:
        """Return what gives the tokens of a profile.

        Raises:
            ConfigInvalid: There is no such kind, or the options do not fit it.
        """
        if profile.kind not in KINDS:
            hint = did_you_mean(profile.kind, KINDS) or f"Known: {', '.join(KINDS)}."
            raise ConfigInvalid(f"There is no kind '{profile.kind[:80]}' of token profiles.", hint=hint)
        return KINDS[profile.kind](profile.kind, profile.options, self._tools)

    def add(self, name: str, kind: str, options: Mapping[str, str]) -> Profile:
        """Return a new profile.

        Raises:
            InvalidInput: The name cannot be one.
            ConfigInvalid: There is no such kind, its options do not fit it, or it builds on itself.
            NotFound: It builds on a profile that is not there.
            Conflict: The name is taken.
        """
        if not _NAME.fullmatch(name):
            hint = "Lower-case letters, digits, '.', '_' and '-'; 60 at most."
            raise InvalidInput(f"{name[:80]!r} is no name for a token profile.", hint=hint)
        profile = Profile(name, kind, dict(options), time.time())
        for other in self.kind(profile).uses:
            if other == name:
                raise ConfigInvalid(f"Token profile '{name}' builds on itself.", hint="Name another profile.")
            self.get(other)
        row = {"name": name, "kind": kind, "options": json.dumps(profile.options), "created": profile.created}
        try:
            with self._journal.write() as connection:
                connection.execute(sql.insert(self._table), row)
        except sql.exc.IntegrityError as error:
            raise Conflict(f"There is a token profile '{name}' already.", hint="Remove it first.", name=name) from error
        return profile

    def remove(self, name: str) -> None:
        """Forget a profile, and what it kept.

        Raises:
            NotFound: There is none.
            Conflict: A storage or another profile uses it.
        """
        with self._journal.write() as connection:
            users = self._users(name, connection)
            if users:
                message = f"Token profile '{name}' is used by {', '.join(users)}."
                raise Conflict(message, hint="Remove those first.", name=name)
            gone = connection.execute(sql.delete(self._table).where(self._table.c.name == name)).rowcount
            self._tools.vault.forget(name, connection)
        if not gone:
            raise not_found("token profile", name, [item.name for item in self.list()])

    def _users(self, name: str, connection: Connection) -> list[str]:
        found = []
        for what, table, options in (
            ("storage", self._storages, ("profile",)),
            ("profile", self._table, ("profile", "subject_profile")),
        ):
            for row in connection.execute(sql.select(table.c.name, table.c.options)):
                declared = json.loads(row.options)
                if any(declared.get(option) == name for option in options):
                    found.append(f"{what} '{row.name}'")
        return sorted(found)

    def list(self) -> list[Profile]:
        """Return all profiles by name."""
        with self._journal.read() as connection:
            rows = connection.execute(sql.select(self._table).order_by(self._table.c.name)).mappings().all()
        return [_profile(row) for row in rows]


def _profile(row: sql.RowMapping) -> Profile:
    return Profile(row["name"], row["kind"], json.loads(row["options"]), row["created"])
