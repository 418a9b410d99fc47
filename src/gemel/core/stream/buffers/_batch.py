"""What a training buffer gathers, and what a batch of it is: its place in the log, its digest, its statistics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from gemel.base.errors import InvalidInput
from gemel.core.stream.events import Event
from gemel.core.stream.triggers import Drift, Volume

BatchState = Literal["open", "training", "done", "failed"]
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class BufferSpec:
    """What a training buffer gathers, and when it is enough.

    Attributes:
        name: Its name, one of its twin's.
        stream: The stream whose events it gathers.
        fields: Names of the values that training needs; an event without one counts as null.
        volume: Opens a batch when so much has come; None when volume is no reason.
        drift: Opens a batch when a variable has drifted; None when drift is no reason.
        most_events: A batch never has more: it is opened at the latest then, for the reason "bound".

    Raises:
        InvalidInput: A name is missing or too long, or a bound is not positive.
    """

    name: str
    stream: str
    fields: tuple[str, ...]
    volume: Volume | None = None
    drift: Drift | None = None
    most_events: int = 1_000_000

    def __post_init__(self) -> None:
        """Refuse what could never be trained with."""
        if not 0 < len(self.name) <= 100 or not self.fields:
            raise InvalidInput("A buffer has a name of 1 to 100 characters and at least one field.", buffer=self.name)
        if self.most_events < 1:
            raise InvalidInput(f"most_events = {self.most_events} of buffer '{self.name}' is not positive.")


@dataclass(frozen=True)
class Batch:
    """Events that are trained with together.

    Attributes:
        twin: Name of the twin.
        buffer: Name of its buffer.
        number: 1 for the first, one more for each.
        state: "open" (to be trained), "training", "done" (its events may be gone) or "failed" (they are kept).
        first: Log position of its first event.
        last: Log position of its last event.
        events: How many events it has.
        digest: SHA-256, as hex digits, over its events in order (see `digest_of`).
        reason: Why it was opened: "volume", "drift", "bound", or what was said from outside.
        statistics: For each field count, mean, variance (of the sample, divided by count − 1), min, max and nulls;
            null where there are too few values.
        run: The run that trains or trained with it.
        created: When it was opened.
        ended: When it was done or had failed.
        error: What went wrong, of a failed one.
    """

    twin: str
    buffer: str
    number: int
    state: BatchState
    first: int
    last: int
    events: int
    digest: str
    reason: str
    statistics: Mapping[str, Mapping[str, float | int | None]]
    run: str | None
    created: datetime
    ended: datetime | None = None
    error: Mapping[str, Any] | None = None


class Digest:
    """SHA-256 over events as they come: each as its CloudEvents document with sorted names, one in a line.

    Positions do not count: the same events have the same digest in every log.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, events: Iterable[Event]) -> None:
        """Take in the next events."""
        for event in events:
            text = json.dumps(event.document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            self._hash.update(text.encode() + b"\n")

    def text(self) -> str:
        """Return the digest of what was taken in, as 64 hex digits."""
        return self._hash.hexdigest()


@dataclass
class Moments:
    """Count, mean, variance, extremes and nulls of a field, as values come.

    Parts are joined by the formulas of Chan, Golub & LeVeque (1983, The American Statistician 37, equation 2.1), the
    form of Welford's (1962) for many values at a time.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = field(default=float("inf"))
    high: float = field(default=float("-inf"))
    nulls: int = 0

    def add(self, values: np.ndarray[Any, Any]) -> None:
        """Take in values; those that are not finite count as nulls."""
        finite = values[np.isfinite(values)]
        self.nulls += len(values) - len(finite)
        if not len(finite):
            return
        mean, total = float(finite.mean()), self.count + len(finite)
        apart = mean - self.mean
        self.squares += float(((finite - mean) ** 2).sum()) + apart**2 * self.count * len(finite) / total
        self.mean += apart * len(finite) / total
        self.count = total
        self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))

    def document(self) -> dict[str, float | int | None]:
        """Return the statistics as JSON values, null where there are too few values."""
        some = self.count > 0
        return {
            "count": self.count,
            "mean": self.mean if some else None,
            "variance": self.squares / (self.count - 1) if self.count > 1 else None,
            "min": self.low if some else None,
            "max": self.high if some else None,
            "nulls": self.nulls,
        }


def columns(events: Iterable[Event], fields: tuple[str, ...]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the values of events as arrays of one length: "time" (datetime64[us], UTC) and each field (float64).

    An event with a block ``{"samples": {name: [...]}, "period": seconds}`` gives one row per sample. Null, missing
    values and what is no number are NaN.
    """
    times: list[np.ndarray[Any, Any]] = []
    values: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in fields}
    for event in events:
        rows = _rows(event, fields)
        length = max(len(row) for row in rows)
        step = float(event.data.get("period", 0.0)) if length > 1 else 0.0
        begin = np.datetime64(event.time.astimezone(UTC).replace(tzinfo=None), "us")
        times.append(begin + np.round(np.arange(length) * (step * _MICROSECONDS)).astype("timedelta64[us]"))
        for name, row in zip(fields, rows, strict=True):
            values[name].append(np.concatenate([row, np.full(length - len(row), np.nan)]))
    joined = {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in values.items()}
    return {"time": np.concatenate(times) if times else np.empty(0, "datetime64[us]")} | joined


def _rows(event: Event, fields: tuple[str, ...]) -> list[np.ndarray[Any, Any]]:
    samples = event.data.get("samples")
    if isinstance(samples, Mapping):
        return [np.array([_number(value) for value in samples.get(name) or ()], float) for name in fields]
    return [np.array([_number(event.data.get(name))]) for name in fields]


def _number(value: Any) -> float:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain else float("nan")


def instant(seconds: float | None) -> datetime | None:
    """Return the instant so many seconds after 1970-01-01 UTC, None for None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
