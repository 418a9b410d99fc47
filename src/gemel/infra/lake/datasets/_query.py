"""Words by which datasets are found."""

from __future__ import annotations

from fnmatch import fnmatchcase

from gemel.infra.lake.datasets._records import Record


def fits(record: Record, word: str) -> bool:
    """Return whether a word is part of a record's name, a pattern of it, or a fact that it has."""
    name = str(record.name)
    key, equals, value = word.partition("=")
    if not equals:
        return fnmatchcase(name, word) if any(sign in word for sign in "*?[") else word in name
    if key == "storage":
        return any(fnmatchcase(item.storage, value) for item in record.replicas)
    known = {"kind": record.kind, "state": record.state, "licence": record.licence}
    found = known.get(key, record.metadata.get(key))
    return found is not None and fnmatchcase(str(found), value)
