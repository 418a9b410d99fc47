"""Storages, token profiles, rules, watches and the care of copies, asked for and told of in JSON documents."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from gemel.base.clock import iso, parse_duration
from gemel.base.errors import ConfigInvalid, GemelError, InvalidInput, OutOfBounds, did_you_mean
from gemel.core.engine._data_moving import Document, checked_priority
from gemel.infra.lake.datasets import Facts, Name, Record
from gemel.infra.lake.keeping import Rule, Where
from gemel.infra.lake.parts import Lake
from gemel.infra.lake.storages import Declaration, Standing

_MOST_BYTES = 2**63 - 1  # what databases keep
_MOST_LIFE = timedelta(days=100 * 366)
_SECRET = re.compile(r"://[^/@\s]*@")
_STANDING = ("site", "tags", "quota")
_PLACES = ("near", "tags", "storages", "apart", "lifetime", "priority")
_FACTS = ("metadata", "licence", "lifetime", "into", "digests")


class KeepingService:
    """What keeps the lake, seen through documents.

    Args:
        lake: Which one.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake, self._keeper = lake, lake.keeper

    # Storages

    def storages(self) -> list[Document]:
        """Return every storage: how it is reached, where it stands and how full it is; secrets are references."""
        standings = self._keeper.standings.all()
        return [_storage(item, standings[item.name]) for item in self._lake.storages.list() if item.name in standings]

    def storage(self, name: str) -> Document:
        """Return one storage.

        Raises:
            NotFound: There is none.
        """
        self._lake.storages.get(name)
        return next(item for item in self.storages() if item["name"] == name)

    def add_storage(self, name: str, kind: str, options: Mapping[str, str], **standing: Any) -> Document:
        """Return a storage that was declared now.

        Args:
            name: Of the storage.
            kind: Of the plugin.
            options: As the kind takes them; secrets by reference.
            **standing: `site`, `tags`, `quota` (bytes).

        Raises:
            InvalidInput: The name cannot be one, or something does not fit the kind.
            NotFound: There is no such kind, or no such token profile.
            Conflict: The name is taken.
        """
        _check_known(standing, _STANDING, "storage")
        given = {key: value for key, value in standing.items() if value not in (None, (), [])}
        self._lake.storages.add(name, kind, options)
        try:
            return self.set_storage(name, **given)
        except GemelError:
            with contextlib.suppress(GemelError):
                self._lake.storages.remove(name)
            raise

    def set_storage(self, name: str, **standing: Any) -> Document:
        """Return a storage after some of `site`, `tags` and `quota` (bytes) were changed; None for none.

        Raises:
            NotFound: There is no such storage.
            InvalidInput: A word cannot be one, or the quota is no number of bytes.
        """
        _check_known(standing, _STANDING, "storage")
        given = dict(standing)
        given |= {"tags": tuple(given["tags"] or ())} if "tags" in given else {}
        if (given.get("quota") or 0) > _MOST_BYTES:
            raise OutOfBounds(f"{given['quota']} bytes are more than can be counted.", hint="Leave the quota out.")
        if given:
            self._keeper.standings.set(name, **given)
        return self.storage(name)

    def remove_storage(self, name: str) -> None:
        """Forget a storage; its files stay.

        Raises:
            NotFound: There is none.
            Conflict: Replicas lie there.
        """
        self._lake.storages.remove(name)

    def reclaim(self, name: str, wanted: int | None = None) -> list[Document]:
        """Return the copies that were dropped from a storage: until so many bytes were, default all that nobody needs.

        Raises:
            NotFound: There is no such storage.
            InvalidInput: The number of bytes is negative.
        """
        if wanted is not None and wanted < 0:
            raise InvalidInput("A number of bytes is 0 or more.")
        return [item.document() for item in self._keeper.reclaim(name, wanted)]

    # Tokens

    def tokens(self) -> list[Document]:
        """Return every token profile; secrets are references."""
        return [_profile(item.name, item.kind, item.options, item.created) for item in self._lake.tokens.list()]

    def add_token(self, name: str, kind: str, options: Mapping[str, str]) -> Document:
        """Return a token profile that was declared now.

        Raises:
            InvalidInput: The name cannot be one, or something does not fit the kind.
            NotFound: It builds on a profile that is not there.
            Conflict: The name is taken.
        """
        made = self._lake.tokens.add(name, kind, options)
        return _profile(made.name, made.kind, made.options, made.created)

    def remove_token(self, name: str) -> None:
        """Forget a token profile, and what it kept.

        Raises:
            NotFound: There is none.
            Conflict: A storage or another profile uses it.
        """
        self._lake.tokens.remove(name)

    def try_token(self, storage: str, operation: str, path: str) -> Document:
        """Return that a token was had, and until when it is good; the token itself is told to nobody.

        Args:
            storage: That would be shown it.
            operation: `read`, `write` or `delete`.
            path: On the storage; of a folder with a slash at the end.

        Raises:
            NotFound: There is no such storage.
            ConfigInvalid: It gets no tokens by profile, or the profile does not fit.
            InvalidInput: There is no such operation, or the path is none.
            Unauthenticated, Denied, StoreUnavailable: There is no token to be had.
        """
        place = self._lake.storages.get(storage)
        declared = next(item for item in self._lake.storages.list() if item.name == storage)
        profile = declared.options.get("profile")
        if not profile:
            hint = "Declare it with profile=NAME; gemel data tokens lists the profiles."
            raise ConfigInvalid(f"Storage '{storage}' gets no tokens by profile.", hint=hint, storage=storage)
        inner, slash = path.rstrip("/"), "/" if path.endswith("/") or not path else ""
        address = place.url(inner) if inner else declared.options.get("url", "").rstrip("/")
        token = self._lake.tokens.token(profile, storage, operation, unquote(urlsplit(address).path) + slash)
        shown = {"storage": storage, "profile": profile, "operation": operation, "path": path}
        return shown | {"worked": True, "expires": _told(token.expires)}

    # Rules

    def rules(self, name: str | None = None) -> list[Document]:
        """Return all rules, or those of one name.

        Raises:
            InvalidInput: The name cannot be one.
        """
        return [item.document() for item in self._keeper.rules.list(name)]

    def rule(self, id: str) -> Document:
        """Return a rule.

        Raises:
            NotFound: There is none.
        """
        return self._keeper.rules.get(id).document()

    def add_rule(self, name: str, copies: int, **places: Any) -> Document:
        """Return a new rule; it is seen to at the next round.

        Args:
            name: Of the file, dataset or container; it may come later.
            copies: How many.
            **places: `near` (sites), `tags`, `storages`, `apart`; `lifetime` (such as '30 d') and `priority`.

        Raises:
            InvalidInput: Such a rule cannot hold.
            NotFound: There is no such storage.
        """
        _check_known(places, _PLACES, "rule")
        for storage in places.get("storages") or ():
            self._lake.storages.get(storage)
        near, tags, storages = (tuple(places.get(key) or ()) for key in ("near", "tags", "storages"))
        where = Where(near, tags, storages, bool(places.get("apart")))
        priority, life = checked_priority(places.get("priority") or 0), checked_lifetime(places.get("lifetime"))
        rule: Rule = self._keeper.rules.add(name, copies, where, lifetime=life, priority=priority)
        return rule.document()

    def remove_rule(self, id: str) -> None:
        """Forget a rule; the copies that it made stay until their place is needed.

        Raises:
            NotFound: There is none.
        """
        self._keeper.rules.remove(id)

    def keep(self) -> Document:
        """Return what one round did, made now: lifetimes, rules, quotas, copies looked at and read."""
        return self._keeper.round().document()

    # Watches

    def watches(self) -> list[Document]:
        """Return the watched folders and buckets."""
        return [item.document() for item in self._lake.watcher.watches.list()]

    def add_watch(self, storage: str, folder: str, scope: str, **options: str | None) -> Document:
        """Return a new watch.

        Args:
            storage: Where.
            folder: There; empty for all.
            scope: Of the names that files get.
            **options: `pattern`, `into`, `licence`.

        Raises:
            NotFound: There is no such storage.
            InvalidInput: Folder, scope or dataset cannot be one.
        """
        self._lake.storages.get(storage)
        return self._lake.watcher.watches.add(storage, folder.strip("/"), scope, **options).document()

    def remove_watch(self, id: str) -> None:
        """Forget a watch; what it registered stays.

        Raises:
            NotFound: There is none.
        """
        self._lake.watcher.watches.remove(id)

    def scan(self) -> list[str]:
        """Return the names of what arrived in watched places since the last look."""
        return _names(self._lake.watcher.scan())

    def notified(self, document: Mapping[str, Any]) -> list[str]:
        """Return the names of what a notification in the form of S3's `Records` tells of, in watched buckets.

        Raises:
            InvalidInput: It has not that form.
            NotFound: An object is not there.
        """
        return _names(self._lake.watcher.notified(document))


def checked_facts(about: Mapping[str, Any]) -> Facts:
    """Return what people say of a dataset: `metadata`, `licence`, `lifetime`.

    Raises:
        InvalidInput: One of them cannot be kept.
    """
    _check_known(about, _FACTS, "dataset")
    metadata, licence = about.get("metadata") or {}, about.get("licence")
    if licence is not None and (not isinstance(licence, str) or not licence.isprintable()):
        raise InvalidInput(f"{licence!r:.80} is no licence.", hint="As SPDX names it, such as CC-BY-4.0.")
    try:
        json.dumps([dict(metadata), licence], allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"The metadata cannot be kept as JSON: {error}.", hint="Finite numbers, texts, …") from error
    return Facts(metadata, licence, checked_lifetime(about.get("lifetime")))


def checked_lifetime(text: str | None) -> timedelta | None:
    """Return how long something is wanted, or None for ever.

    Raises:
        InvalidInput: It is no duration, or one of more than a hundred years.
    """
    if text is None:
        return None
    try:
        found = parse_duration(str(text))
    except OverflowError:
        found = timedelta.max
    if found > _MOST_LIFE:
        raise OutOfBounds(f"'{text[:80]}' is more than a hundred years.", hint="Leave the lifetime out for ever.")
    return found


def _check_known(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or f"Known: {', '.join(known)}."
            raise InvalidInput(f"Nothing called '{name[:80]}' is said of a {what}.", hint=hint)


def scope_of(text: str) -> str:
    """Return a scope, written `scope` or `scope:`.

    Raises:
        InvalidInput: It cannot be one.
    """
    return Name.parse(f"{text.removesuffix(':')}:x").scope


def _storage(item: Declaration, standing: Standing) -> Document:
    return {"name": item.name, "kind": item.kind, "options": _shown(item.options)} | standing.document()


def _profile(name: str, kind: str, options: Mapping[str, str], created: float) -> Document:
    return {"name": name, "kind": kind, "options": _shown(options), "created": _told(created)}


def _shown(options: Mapping[str, str]) -> dict[str, str]:
    # Secrets are references already; an address with a password in it is refused by ours, and may not be by a plugin.
    return {key: _SECRET.sub("://…@", value) for key, value in options.items()}


def _names(records: Sequence[Record]) -> list[str]:
    return [str(record.name) for record in records]


def _told(seconds: float | None) -> str | None:
    # Some issuers write an end that no calendar has.
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return None if seconds is None else iso(datetime.fromtimestamp(seconds, UTC))
    return None
