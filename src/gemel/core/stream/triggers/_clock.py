"""Instants at which something is due: every so often, or as cron says, in a time zone; and what was missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from gemel.base.clock import parse_duration
from gemel.base.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST = timedelta(microseconds=1)
# How far back the newest instant of a cron is looked for, in turn: a minute's cron needs no look at years.
_BACK = tuple(timedelta(**unit) for unit in ({"minutes": 3}, {"hours": 3}, {"days": 8}, {"days": 400}, {"days": 3660}))
# Cron's local times repeat or are missing for at most so long when a zone changes its clocks.
_SHIFT = timedelta(hours=3)


@dataclass(frozen=True)
class Clock:
    """A schedule.

    An instant is identified by itself: a clock that is set back makes no instant due twice (whoever asks keeps the
    last one that was due), one that jumps forward has missed what lies between.

    Attributes:
        every: A duration, like ``15 min``; counted from 1970-01-01T00:00Z, so that ``1 h`` means each full hour.
        cron: Five fields, or six with seconds first (crontab(5), as Debian's cron reads them). Exactly one of
            `every` and `cron` is given.
        zone: IANA name of the time zone in which `cron` is read. A time that a change to summer time leaves out is
            due right after it; one that comes twice is due the first time, unless its hour or minute is ``*``.
        missed: What to do with instants that passed while nobody asked: "once" (the newest stands for all), "all"
            (each), or "skip" (the newest only, and only if it passed no longer than `grace` ago).
        begin: No instant before it is due; None for no such bound.
        grace: For "skip": how late may still be on time.

    Raises:
        InvalidInput: Neither or both of `every` and `cron` are given, or one of the fields cannot be read.

    >>> clock = Clock(cron="0 6 * * *", zone="Europe/Berlin")
    >>> clock.next(datetime(2024, 3, 30, 12, tzinfo=UTC)).isoformat()
    '2024-03-31T04:00:00+00:00'
    """

    every: str | None = None
    cron: str | None = None
    zone: str = "UTC"
    missed: Literal["once", "all", "skip"] = "once"
    begin: datetime | None = None
    grace: str = "1 min"

    def __post_init__(self) -> None:
        """Read every field once, so that a mistake is told when the clock is made."""
        if (self.every is None) == (self.cron is None):
            raise InvalidInput(
                "A clock needs either 'every' or 'cron'.", hint='Write every = "1 h", or cron = "0 6 * * *".'
            )
        if self.missed not in ("once", "all", "skip"):
            raise InvalidInput(f"missed = '{self.missed}' is not a rule.", hint="Write once, all or skip.")
        if self.begin is not None and self.begin.tzinfo is None:
            raise InvalidInput("The begin of a clock has no time zone.", hint="Use datetime(…, tzinfo=UTC).")
        parse_duration(self.grace)
        if self.every is not None and parse_duration(self.every) < timedelta(milliseconds=1):
            raise InvalidInput(f"every = '{self.every}' is too short.", hint="The least is 1 ms.")
        if self.cron is not None:
            self.next(_EPOCH)

    def due(self, after: datetime, now: datetime, limit: int = 1000) -> list[datetime]:
        """Return the instants in (after, now] that are to be acted upon, oldest first, by the rule for missed ones.

        With "all", no more than `limit`: ask again after the last of them.
        """
        if self.missed == "all":
            found: list[datetime] = []
            for instant in self._from(after):
                if instant > now or len(found) >= limit:
                    break
                found.append(instant)
            return found
        newest = self._newest(after, now)
        late = self.missed == "skip" and newest is not None and now - newest > parse_duration(self.grace)
        return [] if newest is None or late else [newest]

    def next(self, after: datetime) -> datetime:
        """Return the first instant later than `after`; the year 9999's last if there is none."""
        return next(self._from(after), datetime.max.replace(tzinfo=UTC))

    def _newest(self, after: datetime, now: datetime) -> datetime | None:
        if self.every is not None:
            newest = self._floor(now)
            return newest if newest > after and (self.begin is None or newest >= self.begin) else None
        for back in _BACK:
            start = max(after, now - back)
            latest: datetime | None = None
            for instant in self._from(start):
                if instant > now:
                    break
                latest = instant
            if latest is not None or start == after:
                return latest
        return None

    def _from(self, after: datetime) -> Iterator[datetime]:
        """Yield the instants later than `after`, in UTC, none before `begin`."""
        if self.begin is not None:
            after = max(after, self.begin - _LEAST)
        yield from self._grid(after) if self.every is not None else self._crons(after)

    def _floor(self, instant: datetime) -> datetime:
        period = parse_duration(str(self.every))
        return _EPOCH + (instant.astimezone(UTC) - _EPOCH) // period * period

    def _grid(self, after: datetime) -> Iterator[datetime]:
        instant, period = self._floor(after), parse_duration(str(self.every))
        while True:
            instant += period
            yield instant

    def _crons(self, after: datetime) -> Iterator[datetime]:
        # Begun earlier than asked: where local times repeat, what follows depends on what came before.
        start = after.astimezone(UTC) - (timedelta() if self.zone == "UTC" else _SHIFT)
        try:
            zone = UTC if self.zone == "UTC" else ZoneInfo(self.zone)
            for local in CronSim(str(self.cron), start.astimezone(zone)):
                instant = local.astimezone(UTC)
                if instant > after:
                    yield instant
        except CronSimError as error:
            hint = "Five fields: minute, hour, day of month, month, day of week; like '0 6 * * MON-FRI'."
            raise InvalidInput(f"cron = '{self.cron}' cannot be read: {error}.", hint=hint) from error
        except (ZoneInfoNotFoundError, ValueError) as error:
            message = f"There is no time zone '{self.zone}'."
            raise InvalidInput(message, hint="Write an IANA name, like Europe/Berlin.") from error
