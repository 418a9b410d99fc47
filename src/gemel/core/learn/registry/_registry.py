"""Versions of models in the journal, their contents beside it; aliases change in transactions and leave their history."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql
import xarray as xr
from sqlalchemy.engine import Connection

from gemel.base.clock import iso
from gemel.base.errors import CheckFailed, Conflict, InvalidInput, NotFound, not_found
from gemel.base.ids import new_id
from gemel.core.graph import decode, encode
from gemel.core.learn.models import Bundle
from gemel.core.learn.registry._judgement import Judgement, Verdict
from gemel.core.learn.registry._names import check_name, parse_reference
from gemel.infra.lake import ContentStore
from gemel.infra.store import Store, schema

_VERSIONS, _ALIASES, _JUDGEMENTS = schema.model_versions, schema.model_aliases, schema.model_judgements
#: In service; next in line; asked beside the champion without being heard.
ALIASES = ("champion", "challenger", "shadow")
_DIGITS = 16  # of the digest, in references that are pinned


@dataclass(frozen=True)
class Version:
    """One version of a model.

    Attributes:
        name: Of the model.
        number: From 1.
        digest: Of description and weights: what answers alike has the same.
        content: Digest of the stored bytes.
        size: Of the stored bytes.
        document: Description and record of the training.
        run: That registered it.
        note: In words.
        created: When.
    """

    name: str
    number: int
    digest: str
    content: str
    size: int
    document: Mapping[str, Any]
    run: str | None
    note: str
    created: datetime

    @property
    def reference(self) -> str:
        """Return the reference that means this version and no other."""
        return f"{self.name}@{self.number}#{self.digest[:_DIGITS]}"


@dataclass(frozen=True)
class Service:
    """A time in which an alias meant a version.

    Attributes:
        alias: One of `ALIASES`.
        version: Which.
        since: Begin.
        until: End; None while it holds.
        verb: What was done: `promote`, `rollback`, `assign`.
        why: In words.
        judgement: Id of the judgement that opened the gate.
    """

    alias: str
    version: int
    since: datetime
    until: datetime | None
    verb: str
    why: str
    judgement: str | None

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        told = {name: getattr(self, name) for name in ("alias", "version", "verb", "why", "judgement")}
        return told | {"since": iso(self.since), "until": iso(self.until) if self.until else None}


class ModelRegistry:
    """The models of one engine home; safe for threads, and for several engines on one store.

    Attributes:
        told: Called after each change with (what, name, document); the engine makes events of it.
    """

    def __init__(self, store: Store, files: ContentStore) -> None:
        self._store, self._files = store, files
        self.told: Callable[[str, str, dict[str, Any]], None] = lambda _what, _name, _document: None

    def names(self) -> list[str]:
        """Return the names of all models."""
        with self._store.read() as connection:
            return list(
                connection.execute(sql.select(_VERSIONS.c.name).distinct().order_by(_VERSIONS.c.name)).scalars()
            )

    def versions(self, name: str) -> list[Version]:
        """Return all versions of a model, newest first.

        Raises:
            NotFound: There is no such model.
        """
        query = sql.select(_VERSIONS).where(_VERSIONS.c.name == name).order_by(_VERSIONS.c.version.desc())
        with self._store.read() as connection:
            rows = connection.execute(query).mappings().all()
        if not rows:
            raise not_found("model", name, self.names(), command="gemel model list")
        return [_version(row) for row in rows]

    def get(self, reference: str) -> Version:
        """Return the version that a reference means now.

        Raises:
            NotFound: No such model or version, or nobody has the alias.
            Conflict: The version has another digest than the reference.
        """
        name, at, digest = parse_reference(reference)
        versions = {str(item.number): item for item in self.versions(name)}
        number = at if at.isdigit() else self._holder(name, at)
        if number not in versions:
            raise not_found(f"version of model '{name}'", number, versions, command=f"gemel model show {name}")
        found = versions[number]
        if digest is not None and not found.digest.startswith(digest):
            raise Conflict(f"Version {number} of model '{name}' is not the one with digest {digest}….")
        return found

    def register(self, name: str, bundle: Bundle, *, run: str | None = None, note: str = "") -> Version:
        """Return the version that holds a bundle: the one that is known already when it answers alike, else a new one.

        Raises:
            InvalidInput: The name is none.
            StoreFull: No space is left; nothing was registered.
        """
        check_name(name)
        encoded = encode(bundle.to_dataset())
        content, digest = self._files.put(encoded.data), bundle.digest
        document = {"description": bundle.description.document(), "record": dict(bundle.record)}
        row = {"name": name, "digest": digest, "content": content, "size": len(encoded.data), "run": run, "note": note}
        with self._changing(name) as connection:
            known = _by_digest(connection, name, digest)
            if known is None:
                newest = sql.select(sql.func.max(_VERSIONS.c.version)).where(_VERSIONS.c.name == name)
                number = (connection.execute(newest).scalar() or 0) + 1
                row |= {"version": number, "document": json.dumps(document, default=str), "created": time.time()}
                connection.execute(sql.insert(_VERSIONS), row)
        found = self._by_digest(name, digest)
        if known is None:
            self.told("registered", name, {"version": found.number, "digest": digest, "run": run})
        return found

    def load(self, reference: str) -> xr.Dataset:
        """Return the dataset of the version that a reference means.

        Raises:
            NotFound: There is none.
            ResultCorrupt: Its bytes changed or are gone.
        """
        found: xr.Dataset = decode("netcdf", self.path(reference).read_bytes())
        return found

    def path(self, reference: str) -> Path:
        """Return the file of a version, NetCDF, after comparing its digest.

        Raises:
            ResultCorrupt: Its bytes changed or are gone.
        """
        return self._files.verify(self.get(reference).content)

    def bundle(self, reference: str) -> Bundle:
        """Return the bundle of the version that a reference means."""
        return Bundle.from_dataset(self.load(reference))

    def pin(self, reference: str) -> str:
        """Return the reference that means for ever what `reference` means now."""
        return self.get(reference).reference

    # Who is in service

    def holder(self, name: str, alias: str) -> int | None:
        """Return the version that has an alias, None when none has."""
        with self._store.read() as connection:
            return _holder(connection, name, alias)

    def history(self, name: str) -> list[Service]:
        """Return which version had which alias from when to when, newest first."""
        self.versions(name)
        query = sql.select(_ALIASES).where(_ALIASES.c.name == name).order_by(_ALIASES.c.number.desc())
        with self._store.read() as connection:
            return [_service(row) for row in connection.execute(query).mappings()]

    def at(self, name: str, instant: datetime) -> Version | None:
        """Return the champion of an instant, None when there was none: what answered then can be asked again."""
        moment = instant.timestamp()
        open_then = sql.or_(_ALIASES.c.until.is_(None), _ALIASES.c.until > moment)
        query = sql.select(_ALIASES.c.version).where(
            _ALIASES.c.name == name, _ALIASES.c.alias == "champion", _ALIASES.c.since <= moment, open_then
        )
        with self._store.read() as connection:
            number = connection.execute(query.order_by(_ALIASES.c.number.desc())).scalar()
        return None if number is None else self.get(f"{name}@{number}")

    def assign(self, name: str, alias: str, version: int | None, why: str = "") -> None:
        """Give `challenger` or `shadow` to a version, or (None) take it away.

        Raises:
            InvalidInput: Another alias: the champion is made by `promote` and unmade by `rollback`.
        """
        if alias not in ("challenger", "shadow"):
            raise InvalidInput(
                f"'{alias}' is not an alias that can be given.", hint=f"gemel promote {name} makes a champion."
            )
        if version is not None:
            self.get(f"{name}@{version}")
        with self._changing(name) as connection:
            _give(connection, (name, alias), version, ("assign", why, None))
        self.told("assigned", name, {"alias": alias, "version": version, "why": why})

    def promote(self, name: str, version: int, why: str = "") -> Service:
        """Return the service of the new champion; promoting the champion again changes nothing.

        Raises:
            CheckFailed: No judgement on this version has passed, or a later one has not.
            NotFound: No such version.
        """
        found = self.get(f"{name}@{version}")
        judgement = self.judged(name, version)
        if judgement is None or not judgement.passed:
            failed = [item["id"] for item in judgement.verdicts if not item["passed"]] if judgement else []
            state = f"did not pass: {', '.join(failed)}" if judgement else "has not been judged on held-out data"
            raise CheckFailed(
                f"Version {version} of model '{name}' {state}; it is not promoted.",
                hint=f"gemel model judge {found.name}@{version} DATA",
                model=name,
                version=version,
            )
        with self._changing(name) as connection:
            changed = _holder(connection, name, "champion") != version
            if changed:
                _give(connection, (name, "champion"), version, ("promote", why, judgement.id))
                if _holder(connection, name, "challenger") == version:
                    _give(connection, (name, "challenger"), None, ("promote", why, None))
        if changed:
            self.told("promoted", name, {"version": version, "why": why, "judgement": judgement.id})
        return self._standing(name)

    def rollback(self, name: str, why: str = "") -> Service:
        """Return the service of the champion before the present one, which is in service again.

        Raises:
            Conflict: There was none before.
        """
        self.versions(name)
        with self._changing(name) as connection:
            present = _holder(connection, name, "champion")
            earlier = _before(connection, name)
            if present is None or earlier is None:
                raise Conflict(f"Model '{name}' has no earlier champion.", hint=f"gemel model history {name}")
            _give(connection, (name, "champion"), earlier, ("rollback", why, None))
        self.told("rolled-back", name, {"version": earlier, "from": present, "why": why})
        return self._standing(name)

    # Judgements

    def judge(
        self,
        name: str,
        version: int,
        verdicts: Sequence[Verdict],
        *,
        figures: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        run: str | None = None,
    ) -> Judgement:
        """Return the judgement on a version after recording it; it passes when there are verdicts and each does."""
        self.get(f"{name}@{version}")
        told = [item.document() for item in verdicts]
        passed = bool(told) and all(item["passed"] for item in told)
        found = Judgement(
            new_id("judgement"), name, version, passed, told, figures or {}, data or {}, run, datetime.now(UTC)
        )
        row = {"id": found.id, "name": name, "version": version, "passed": passed, "run": run}
        document = {"verdicts": told, "figures": dict(found.figures), "data": dict(found.data)}
        row |= {"document": json.dumps(document), "created": found.created.timestamp()}
        with self._store.write() as connection:
            connection.execute(sql.insert(_JUDGEMENTS), row)
        self.told("judged", name, {"version": version, "passed": passed, "judgement": found.id})
        return found

    def judged(self, name: str, version: int | None = None) -> Judgement | None:
        """Return the newest judgement on a version (or on any of the model), None when there is none."""
        query = sql.select(_JUDGEMENTS).where(_JUDGEMENTS.c.name == name)
        query = query if version is None else query.where(_JUDGEMENTS.c.version == version)
        with self._store.read() as connection:
            row = connection.execute(query.order_by(_JUDGEMENTS.c.created.desc()).limit(1)).mappings().first()
        if row is None:
            return None
        created = datetime.fromtimestamp(row["created"], UTC)
        known = {key: row[key] for key in ("id", "name", "version", "passed", "run")}
        return Judgement(**known, **json.loads(row["document"]), created=created)

    @contextlib.contextmanager
    def _changing(self, name: str) -> Iterator[Connection]:
        """Yield a transaction that no other change of the same model runs beside, here or in another engine."""
        with self._store.write() as connection:
            if connection.dialect.name == "postgresql":
                lock = sql.func.pg_advisory_xact_lock(sql.func.hashtext(f"models/{name}"))
                connection.execute(sql.select(lock))
            yield connection

    def _holder(self, name: str, alias: str) -> str:
        if alias not in ALIASES:
            raise not_found("alias of models", alias, ALIASES)
        found = self.holder(name, alias)
        if found is None:
            raise NotFound(f"Model '{name}' has no {alias}.", hint=f"gemel model show {name}")
        return str(found)

    def _standing(self, name: str) -> Service:
        return next(item for item in self.history(name) if item.alias == "champion" and item.until is None)

    def _by_digest(self, name: str, digest: str) -> Version:
        with self._store.read() as connection:
            found = _by_digest(connection, name, digest)
        assert found is not None
        return found


def _by_digest(connection: Connection, name: str, digest: str) -> Version | None:
    query = sql.select(_VERSIONS).where(_VERSIONS.c.name == name, _VERSIONS.c.digest == digest)
    row = connection.execute(query).mappings().first()
    return None if row is None else _version(row)


def _holder(connection: Connection, name: str, alias: str) -> int | None:
    query = sql.select(_ALIASES.c.version).where(
        _ALIASES.c.name == name, _ALIASES.c.alias == alias, _ALIASES.c.until.is_(None)
    )
    found = connection.execute(query).scalar()
    return None if found is None else int(found)


def _before(connection: Connection, name: str) -> int | None:
    """Return the champion to go back to: the one that the present one followed when it was promoted.

    A rollback takes a version out of the row of champions, so that a second one goes further back.
    """
    query = sql.select(_ALIASES.c.version, _ALIASES.c.verb).where(
        _ALIASES.c.name == name, _ALIASES.c.alias == "champion"
    )
    row: list[int] = []
    for version, verb in connection.execute(query.order_by(_ALIASES.c.number)):
        if verb == "rollback":
            row = row[:-1]
        else:
            row.append(int(version))
    return row[-2] if len(row) > 1 else None


def _give(
    connection: Connection, place: tuple[str, str], version: int | None, why: tuple[str, str, str | None]
) -> None:
    now = time.time()
    name, alias = place
    held = sql.and_(_ALIASES.c.name == name, _ALIASES.c.alias == alias, _ALIASES.c.until.is_(None))
    connection.execute(sql.update(_ALIASES).where(held).values(until=now))
    if version is not None:
        verb, words, judgement = why
        row = {"name": name, "alias": alias, "version": version, "since": now, "verb": verb}
        connection.execute(sql.insert(_ALIASES), row | {"why": words, "judgement": judgement})


def _version(row: Mapping[Any, Any]) -> Version:
    plain = {key: row[key] for key in ("name", "digest", "content", "size", "run", "note")}
    created = datetime.fromtimestamp(row["created"], UTC)
    return Version(**plain, number=row["version"], document=json.loads(row["document"]), created=created)


def _service(row: Mapping[Any, Any]) -> Service:
    plain = {key: row[key] for key in ("alias", "version", "verb", "why", "judgement")}
    since, until = (None if row[key] is None else datetime.fromtimestamp(row[key], UTC) for key in ("since", "until"))
    assert since is not None
    return Service(**plain, since=since, until=until)
