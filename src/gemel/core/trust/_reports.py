"""Reports: all checks of a twin at once, tied to the exact content they were made on."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql

from gemel.base.clock import iso
from gemel.base.ids import new_id
from gemel.core.trust._checks import CheckResult
from gemel.infra.store import Store, schema

_REPORTS = schema.reports


@dataclass(frozen=True)
class Report:
    """The checks of one twin version.

    Attributes:
        content: Digest of the twin's files; the gate asks for a report on exactly these.
        run: The validation run whose outputs were judged, or None.
    """

    id: str
    twin: str
    version: str
    content: str
    run: str | None
    created: float
    passed: bool
    checks: Sequence[dict[str, Any]]

    def document(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "id": self.id,
            "twin": self.twin,
            "version": self.version,
            "content": self.content,
            "run": self.run,
            "created": iso(datetime.fromtimestamp(self.created, UTC)),
            "passed": self.passed,
            "checks": list(self.checks),
        }


class ReportStore:
    """Reports in the SQL store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, twin: str, version: str, content: str, run: str | None, results: Sequence[CheckResult]) -> Report:
        """Return the report on `results` after recording it; it passes when every check does."""
        checks = [result.document() for result in results]
        passed = all(check["passed"] for check in checks)
        report = Report(new_id("report"), twin, version, content, run, time.time(), passed, checks)
        row = {name: value for name, value in vars(report).items() if name != "checks"}
        with self._store.write() as connection:
            connection.execute(sql.insert(_REPORTS), row | {"document": json.dumps(checks, default=str)})
        return report

    def latest(self, twin: str, content: str | None = None) -> Report | None:
        """Return the newest report on a twin (on exactly this content, when given), or None."""
        query = sql.select(_REPORTS).where(_REPORTS.c.twin == twin).order_by(_REPORTS.c.created.desc()).limit(1)
        if content is not None:
            query = query.where(_REPORTS.c.content == content)
        with self._store.read() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        fields = {name: row[name] for name in ("id", "twin", "version", "content", "run", "created", "passed")}
        return Report(**fields, checks=json.loads(row["document"]))
