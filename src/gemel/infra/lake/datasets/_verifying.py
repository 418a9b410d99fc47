"""Reading every replica whole: bit flips are found, and repaired from a good one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gemel.base.errors import GemelError, NotFound, ResultCorrupt
from gemel.infra.lake.datasets._records import BAD, Record, Records, Replica
from gemel.infra.lake.datasets._transfers import Transfers
from gemel.infra.lake.transport import Progress


@dataclass(frozen=True)
class Finding:
    """What reading one replica showed.

    Attributes:
        name: Of the file.
        storage: Where the replica lies.
        outcome: `good`; `repaired`; `damaged` or `missing` and beyond repair; `unreachable`.
        reason: What was wrong, in words.
    """

    name: str
    storage: str
    outcome: str
    reason: str | None = None

    @property
    def passed(self) -> bool:
        """Return whether the replica is right now."""
        return self.outcome in ("good", "repaired")

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"name": self.name, "storage": self.storage, "outcome": self.outcome, "reason": self.reason}


def verified(
    records: Records, transfers: Transfers, record: Record, repair: bool, progress: Progress | None = None
) -> list[Finding]:
    """Return one finding per replica of a file, wrong ones replaced from a good one when `repair` is set.

    Where no digest is known yet, the first replica that can be read sets it, and the others confirm or contradict it.
    """
    good: list[Replica] = []
    bad: list[tuple[Replica, str, str]] = []
    for replica in record.replicas:
        try:
            seen = transfers.read(record, replica, progress)
        except GemelError as error:
            bad.append((replica, _outcome(error), error.message))
            continue
        records.settle(record.name, seen)
        records.found_good(replica)
        record = records.get(record.name)
        good.append(replica)
    if not good and any(outcome == "damaged" for _, outcome, _ in bad):
        records.unsettle(record.name)
    findings = [Finding(str(record.name), replica.storage, "good") for replica in good]
    for replica, outcome, reason in bad:
        if repair and good and outcome != "unreachable":
            findings.append(_repaired(records, transfers, record, good[0], (replica, outcome, reason)))
        else:
            if outcome != "unreachable":
                records.found_bad(replica, reason, lost=replica.state != BAD)
            findings.append(Finding(str(record.name), replica.storage, outcome, reason))
    return findings


def _repaired(
    records: Records, transfers: Transfers, record: Record, good: Replica, found: tuple[Replica, str, str]
) -> Finding:
    replica, outcome, reason = found
    records.found_bad(replica, reason, lost=replica.state != BAD)
    try:
        # The wrong one goes only once a right one is there.
        with transfers.arriving(record.name, replica.storage, record.size) as fresh:
            seen = transfers.copy(record, good, fresh)
            records.settle(record.name, seen, [fresh], [replica])
    except GemelError as error:
        return Finding(str(record.name), replica.storage, outcome, f"{reason} It cannot be repaired: {error.message}")
    transfers.sweep()
    return Finding(str(record.name), replica.storage, "repaired", reason)


def _outcome(error: GemelError) -> str:
    if isinstance(error, ResultCorrupt):
        return "damaged"
    return "missing" if isinstance(error, NotFound) else "unreachable"
