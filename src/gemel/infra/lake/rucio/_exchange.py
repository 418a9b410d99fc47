"""Exchange with a Rucio server: ours seen there, theirs seen here; nothing is ever overwritten on either side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote, urlsplit

import sqlalchemy as sql

from gemel.base.errors import Conflict, InvalidInput, not_found
from gemel.infra.lake.datasets import Datasets, Name
from gemel.infra.lake.datasets._records import Records
from gemel.infra.lake.keeping import Rules
from gemel.infra.lake.rucio._facts import Protocol, Rse, ThereRule
from gemel.infra.lake.rucio._lying import Lying
from gemel.infra.lake.rucio._names import checked_scope
from gemel.infra.lake.rucio._places import Naming, Places
from gemel.infra.lake.rucio._report import Report
from gemel.infra.lake.rucio._sending import Sending
from gemel.infra.lake.rucio._server import Rucio
from gemel.infra.lake.rucio._storage import RucioStorage
from gemel.infra.lake.rucio._taking import Taking
from gemel.infra.lake.storages import Journal, LocalStorage, Standings, Storages, WebdavStorage


@dataclass(frozen=True)
class Matching:
    """What is the same on both sides under two names.

    Attributes:
        rses: RSEs by the storages here that they are; those of the kind `rucio` need not be named.
        scopes: Scopes of Rucio's by ours, where they differ: theirs have 25 signs at most, and capitals too.
    """

    rses: Mapping[str, str] = field(default_factory=dict)
    scopes: Mapping[str, str] = field(default_factory=dict)


class RucioExchange:
    """Datasets, replicas and rules of one engine and of one Rucio server.

    Kinds are the same on both sides. Adler-32 and MD5 go along; SHA-256, licence and metadata where the Rucio server
    keeps free metadata. Names are spelled in each side's letters and come back as they were. What cannot be exchanged
    is in the report with its reason.

    Args:
        journal: The SQL store.
        tables: Its tables, by name.
        datasets: Of the engine.
        storages: Of the engine.
        through: Name of a storage of the kind `rucio`: its server, and its account there, are used.
        matching: What is the same on both sides under two names.

    Raises:
        NotFound: There is no such storage.
        InvalidInput: It is of another kind.
    """

    def __init__(
        self,
        journal: Journal,
        tables: Mapping[str, sql.Table],
        datasets: Datasets,
        storages: Storages,
        through: str,
        matching: Matching | None = None,
    ) -> None:
        storage = storages.get(through)
        if not isinstance(storage, RucioStorage):
            hint = "gemel data storages add NAME rucio url=… rse=… account=…"
            raise InvalidInput(f"Storage '{through}' is of the kind '{storage.kind}', not 'rucio'.", hint=hint)
        self.server: Rucio = storage.server
        self._records, self._rules = Records(journal, tables), Rules(journal, tables)
        self._lying = Lying(journal, tables)
        self._datasets, self._storages = datasets, storages
        self._standings = Standings(journal, tables, storages.list)
        self._matching = matching or Matching()
        self._naming = Naming(self._matching.scopes)

    def seen_there(self, names: Iterable[str], *, rules: bool = True) -> Report:
        """Return what became of names of ours, and of all below them, in Rucio.

        Files are registered with their replicas on storages that are RSEs there, groups with their members, and the
        rules about them as rules of the account. Done again, only what is new is added.

        Args:
            names: `scope:name` of files, datasets or containers.
            rules: Whether rules go along.

        Raises:
            NotFound: There is no such name here.
            Unauthenticated, StoreUnavailable: Rucio cannot be spoken with; what was added before stays.
        """
        sending = Sending(self.server, self._naming, self._places(), self._records)
        sending.send([Name.parse(name) for name in names])
        if rules:
            sending.rules(self._rules.list())
        return sending.tally.report()

    def seen_here(self, scope: str, pattern: str = "*", *, since: datetime | None = None) -> Report:
        """Return what became of Rucio's names of a scope, and of all below them, here.

        Files are registered as `unverified` with the digests that Rucio tells, and with their replicas on RSEs that are
        storages here; nothing is read of their bytes. Rules are in the report. Done again, only what is new is added.

        Args:
            scope: Of Rucio's.
            pattern: Of Rucio's names, with `*`.
            since: Only what was made there after it. What was made before, and got a replica or a member since, is left out.

        Raises:
            NotFound: There is no such scope there.
            Unauthenticated, StoreUnavailable: Rucio cannot be spoken with; what was registered before stays.
        """
        scopes = self.server.scopes()
        if checked_scope(scope) not in scopes:
            raise not_found("scope in Rucio", scope, scopes)
        parts = self._records, self._datasets, self._lying
        taking = Taking(self.server, self._naming, self._places(), *parts)
        taking.take(self.server.find(scope, pattern, since=since))
        rules = tuple(rule for rule in self.server.rules(scope) if rule.did in taking.seen)
        return taking.tally.report(rules)

    def rules_there(self, name: str) -> list[ThereRule]:
        """Return Rucio's rules about a name of ours, as they stand now."""
        did = self._naming.there(Name.parse(name))
        return self.server.rules(did.scope, did.name)

    def lend(self, storage: str, rse: str) -> Rse:
        """Return a new RSE there that is a storage here; the account must be an administrator's.

        Rucio leaves to gemel where files lie on it (it is not deterministic). Site and tags become its attributes.

        Raises:
            InvalidInput: Rucio has no protocol for such a storage.
            Conflict: There is an RSE of that name that is not this storage.
            Denied: The account may not.
        """
        protocol = _protocol(self._storages.get(storage))
        try:
            self.server.add_rse(rse, deterministic=False)
        except Conflict:
            if protocol not in self.server.rse(rse).protocols:
                raise
        else:
            self.server.add_protocol(rse, protocol)
        standing = self._standings.all()[storage]
        for tag in standing.tags:
            self.server.set_attribute(rse, tag, True)
        if standing.site:
            self.server.set_attribute(rse, "site", standing.site)
        return self.server.rse(rse)

    def _places(self) -> Places:
        return Places(self._storages, self.server, self._matching.rses)


def _protocol(storage: object) -> Protocol:
    if isinstance(storage, LocalStorage):
        return Protocol("file", "localhost", 0, f"{storage.folder}/")
    if not isinstance(storage, WebdavStorage):
        raise InvalidInput("Only folders and WebDAV servers can be lent to Rucio.", hint="Name another storage.")
    parts = urlsplit(storage.url("x"))
    scheme = parts.scheme
    port = parts.port or (443 if scheme == "https" else 80)
    return Protocol(scheme, str(parts.hostname), port, unquote(parts.path)[:-1])
