"""Streams in, windows out: what is complete up to the watermark is handed out, once and in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from gemel.base.errors import InvalidInput, StoreFull, not_found
from gemel.core.stream.events import Event
from gemel.core.stream.windows._align import on_grid
from gemel.core.stream.windows._result import WindowResult
from gemel.core.stream.windows._samples import Part, Samples, read_events
from gemel.core.stream.windows._spec import StreamRule, WindowSpec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_LATE = 1000  # late events that are kept for whoever tells of them; all are counted


class Late(NamedTuple):
    """An event that came too late.

    Attributes:
        stream: Name of its stream.
        event: The event.
        samples: How many of its samples were too late.
    """

    stream: str
    event: Event
    samples: int


class Windows:
    """Cuts streams into windows. One caller at a time.

    What a window holds follows from the events alone, in whatever order streams are pushed, as long as none is late
    or idle. Memory is bounded: no stream holds more than `WindowSpec.most` samples, whoever sends them.

    Args:
        spec: What the windows are.
        resume: A `document` of earlier windows, which these go on from; push the events after `resume_from` again.
        clock: Our clock in seconds, by which a stream is idle.
    """

    def __init__(
        self, spec: WindowSpec, resume: Mapping[str, Any] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.spec, self._clock = spec, clock
        self._rules = {rule.name: rule for rule in spec.streams}
        self._held = {rule.name: Samples(len(rule.fields), spec.most) for rule in spec.streams}
        self._heard = dict.fromkeys(self._rules, clock())
        self._watermark: int | None = None
        self._next: int | None = None
        self._late: deque[Late] = deque(maxlen=_MOST_LATE)
        self.late = dict.fromkeys(self._rules, 0)
        if resume:
            self._go_on(resume)

    @property
    def watermark(self) -> datetime | None:
        """Instant up to which everything is taken to be known; None before each stream has told something."""
        return None if self._watermark is None else _instant(self._watermark)

    def push(self, stream: str, event: Event) -> list[WindowResult]:
        """Return the windows that an event completes, oldest first. Errors are those of `push_many`."""
        return self.push_many(stream, [event])

    def push_many(self, stream: str, events: Sequence[Event]) -> list[WindowResult]:
        """Return the windows that events of one stream complete, oldest first; all events are taken, or none.

        Raises:
            StoreFull: The stream is so far ahead of another that it must wait: push again when `ready`.
            InvalidInput: An event cannot be read, or there are more samples than may be held.
            NotFound: The window has no such stream.
        """
        if stream not in self._rules:
            raise not_found("stream", stream, self._rules)
        if not events:
            return []
        part, index = read_events(events, self._rules[stream].fields)
        self._heard[stream] = self._clock()
        late = part.times < self._open_from()
        if late.any():
            kept = part.where(~late)
            self._make_room(stream, len(kept.times))
            self._note_late(stream, events, np.bincount(index[late], minlength=len(events)))
            part = kept
        else:
            self._make_room(stream, len(part.times))
        self._held[stream].add(part)
        return self.advance()

    def advance(self) -> list[WindowResult]:
        """Return the windows that are complete now: call it now and then when streams may be `idle`."""
        self._move_watermark()
        return self._emit()

    def finish(self) -> list[WindowResult]:
        """Return the windows that are left at the end of a record, complete or not."""
        return self._emit(at_the_end=True)

    def ready(self, stream: str, samples: int = 1) -> bool:
        """Return whether a stream may push so many samples; when not, it is held back until the others have come.

        A stream that is held back is not idle as long as someone asks for it.
        """
        if self._held[stream].room() >= samples:
            return True
        self._heard[stream] = self._clock()
        return False

    def take_late(self) -> list[Late]:
        """Return the late events since this was asked last (the newest thousand), with the rule "tell"."""
        found = list(self._late)
        self._late.clear()
        return found

    def resume_from(self) -> dict[str, int]:
        """Return for each stream the log position after which its events are needed for windows to come."""
        return {name: held.needed_after() for name, held in self._held.items()}

    def document(self) -> dict[str, Any]:
        """Return what to keep, once the results are durable, so that windows can go on after the process was killed.

        It names the positions of `resume_from` and the number of the next window. When it is older than the results,
        some are made again, with the same ids.
        """
        return {"positions": self.resume_from(), "next": self._next}

    def _go_on(self, document: Mapping[str, Any]) -> None:
        if document.get("next") is not None:
            self._next = int(document["next"])
        for name, position in document.get("positions", {}).items():
            if name in self._held:
                self._held[name].position = int(position)

    def _open_from(self) -> int:
        """Return the first instant that belongs to a window which ends after the watermark."""
        if self._watermark is None:
            return int(np.iinfo(np.int64).min)
        return ((self._watermark - self.spec.span) // self.spec.step + 1) * self.spec.step

    def _make_room(self, stream: str, count: int) -> None:
        held = self._held[stream]
        if held.room() < count:
            held.sort()  # several events of one instant become one sample
        if held.room() >= count:
            return
        if count > self.spec.most:
            message = f"{count:,} samples of '{stream}' at once are more than window '{self.spec.name}' may hold."
            raise InvalidInput(message, hint=f"Send fewer at a time, or raise most = {self.spec.most}.")
        slowest = self._slowest()
        if slowest == stream:
            hint = f"Raise most = {self.spec.most}: a window of it has more samples, or shorten the window."
        else:
            hint = f"Push it again when '{slowest}' has come as far, or say idle = '1 min' to go on without it."
        message = f"Window '{self.spec.name}' holds {len(held):,} samples of '{stream}' and takes no more."
        raise StoreFull(message, hint=hint, stream=stream, slowest=slowest)

    def _note_late(self, stream: str, events: Sequence[Event], samples: np.ndarray[Any, Any]) -> None:
        self.late[stream] += int(samples.sum())
        if self.spec.late == "tell":
            self._late.extend(
                Late(stream, events[number], int(samples[number])) for number in np.flatnonzero(samples).tolist()
            )

    def _is_idle(self, name: str) -> bool:
        return self._clock() - self._heard[name] > self.spec.idle_seconds

    def _slowest(self) -> str:
        streams = [name for name in self._rules if not self._is_idle(name)] or list(self._rules)
        return min(streams, key=lambda name: -1 if (newest := self._held[name].newest) is None else newest)

    def _move_watermark(self) -> None:
        waited_for = (
            self._rules if self.spec.idle is None else [name for name in self._rules if not self._is_idle(name)]
        )
        newest = [self._held[name].newest for name in waited_for]
        known = [instant for instant in newest if instant is not None]
        if known and len(known) == len(newest):
            mark = min(known) - self.spec.delay
            self._watermark = mark if self._watermark is None else max(mark, self._watermark)

    def _emit(self, at_the_end: bool = False) -> list[WindowResult]:
        results: list[WindowResult] = []
        while at_the_end or self._may_be_complete():
            number = self._next_number()
            if number is None or not (at_the_end or self._is_complete(number)):
                break
            results.append(self._result(number))
            self._next = number + 1
            for name, held in self._held.items():
                held.forget(self._next * self.spec.step - self.spec.before(self._rules[name]))
        return results

    def _may_be_complete(self) -> bool:
        """Return False when not even the next window can be over, which is cheap to know and nearly always so."""
        if self._watermark is None:
            return False
        return self._next is None or self._watermark >= self._next * self.spec.step + self.spec.span

    def _next_number(self) -> int | None:
        """Return the number of the next window that has a sample."""
        begin = None if self._next is None else self._next * self.spec.step
        firsts = []
        for held in self._held.values():
            held.sort()
            times = held.between(begin, None).times
            firsts += [int(times[0])] if len(times) else []
        if not firsts:
            return None
        number = (min(firsts) - self.spec.span) // self.spec.step + 1
        return number if self._next is None else max(number, self._next)

    def _is_complete(self, number: int) -> bool:
        end = number * self.spec.step + self.spec.span
        mark = self._watermark
        if mark is None or mark < end:
            return False
        return all(self._looked_beyond(rule, self._grid(number)[-1:], mark) for rule in self.spec.streams)

    def _looked_beyond(self, rule: StreamRule, last: np.ndarray[Any, Any], mark: int) -> bool:
        """Return whether the sample after a window's last instant is known, or known not to matter."""
        if not len(last) or mark > last[0] + self.spec.behind(rule):
            return True
        after = self._held[rule.name].between(int(last[0]), mark).values
        return bool(np.isfinite(after).any(axis=1).all())

    def _grid(self, number: int) -> np.ndarray[Any, Any]:
        points = self.spec.points
        offsets = np.rint(np.arange(points) * (self.spec.span / max(points, 1))).astype(np.int64)
        grid: np.ndarray[Any, Any] = number * self.spec.step + offsets
        return grid

    def _result(self, number: int) -> WindowResult:
        begin = number * self.spec.step
        inside = {name: held.between(begin, begin + self.spec.span) for name, held in self._held.items()}
        times, data, gaps = self._aligned(number) if self.spec.align is not None else self._own(inside)
        return WindowResult(
            self.spec.name,
            _instant(begin),
            _instant(begin + self.spec.span),
            times,
            data,
            {name: len(part.times) for name, part in inside.items()},
            gaps,
            {name: _ends(part.positions) for name, part in inside.items() if len(part.times)},
            self.spec.align is not None,
            self.spec.told,
        )

    def _aligned(self, number: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, int]]:
        grid, gaps = self._grid(number), dict[str, int]()
        data: dict[str, Any] = {}
        for rule in self.spec.streams:
            far = self.spec.bridge(rule)
            near = self._held[rule.name].between(int(grid[0]) - far, int(grid[-1]) + far + 1)
            for field, values in zip(rule.fields, near.values, strict=True):
                name = f"{rule.name}.{field}"
                terms = (self.spec.gap, self.spec.apart(rule), far)
                data[name], missing = on_grid((near.times, values), grid, *terms)
                gaps[name] = int(missing.sum())
        if self.spec.gap == "drop":
            whole = np.all([np.isfinite(values) for values in data.values()], axis=0)
            grid, data = grid[whole], {name: values[whole] for name, values in data.items()}
        return dict.fromkeys(self._rules, grid.astype("datetime64[ns]")), data, gaps

    def _own(self, inside: Mapping[str, Part]) -> tuple[dict[str, Any], dict[str, Any], dict[str, int]]:
        times, gaps = dict[str, Any](), dict[str, int]()
        data: dict[str, Any] = {}
        for rule in self.spec.streams:
            part = inside[rule.name]
            lost = int((np.diff(part.times) > self.spec.apart(rule)).sum())
            if self.spec.gap == "drop":
                part = part.where(np.asarray(np.isfinite(part.values).all(axis=0)))
            times[rule.name] = part.times.astype("datetime64[ns]")
            names = [f"{rule.name}.{field}" for field in rule.fields]
            data |= {name: values.copy() for name, values in zip(names, part.values, strict=True)}
            gaps |= dict.fromkeys(names, lost)
        return times, data, gaps


def _ends(positions: np.ndarray[Any, Any]) -> tuple[int, int]:
    return int(positions.min()), int(positions.max())


def _instant(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
