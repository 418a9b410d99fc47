"""Observations of an OGC SensorThings service, asked for again and again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

from gemel.base.clock import iso
from gemel.base.errors import InvalidInput
from gemel.core.stream.events import Event
from gemel.core.stream.sources._http import Http
from gemel.core.stream.sources._options import Options
from gemel.core.stream.sources._payload import OBSERVATION, accepted, instant_of, within
from gemel.core.stream.sources._polling import Polling, Seen
from gemel.core.stream.sources._source import SourceContext

_OPTIONS = ["url", "datastreams", "start", "every", "overlap", "page", "token"]
_PAGES = 1_000_000


class SensorThings(Polling):
    """Observations of a SensorThings 1.1 service (OGC 18-088), the earliest phenomenon first.

    Options:
        url: Of the service's root, with its version: ``https://host/v1.1``.
        datastreams: Ids of datastreams; a table ``{ flow = 3 }`` gives their results our names (default: all).
        start: The earliest time of a phenomenon that is asked for (default: all there are).
        every: How often it is asked (default 1 min).
        overlap: How much earlier than the latest seen an observation that comes late may be (default 1 h).
        page: Observations per page (default 200).
        token: Reference to a bearer token.
    """

    def __init__(self, context: SourceContext) -> None:
        options = Options(context, "sensorthings", _OPTIONS, ("url",))
        super().__init__(context, options.seconds("every", "1 min", 0.01))
        self._url, self._token = options.url("url", ("http", "https")), options.reference("token")
        self._start, self._page = options.instant("start"), options.whole("page", 200, 1, 10_000)
        self._names = self._named(options)
        self._overlap = options.seconds("overlap", "1 h")
        # Each datastream has a clock of its own: a slow one must not be passed over by a quick one.
        self._seen = {stream: Seen(_part(context, stream), self._overlap) for stream in self._names or {"": ""}}

    def passed(self, after: datetime | None) -> Iterator[Event | Sequence[Event]]:
        """Yield the observations that are new, datastream by datastream."""
        http = Http(self._url, self._token)
        try:
            for stream, seen in self._seen.items():
                for page in self._pages(http, stream, seen.since or self._begin(after)):
                    yield from self._fresh(page, stream, seen)
                    if self._context.stop.is_set():
                        return
        finally:
            http.close()

    def _begin(self, after: datetime | None) -> datetime | None:
        # Several sensors may have spoken at that very instant: the log knows by their ids which it has.
        return max([item for item in (after, self._start) if item], default=None)

    def _fresh(self, page: Sequence[Any], stream: str, seen: Seen) -> Iterator[Sequence[Event]]:
        known, new = [], []
        for item in page:
            time, key = self._read(item, seen)
            if time is None or seen.has(key):
                continue
            event = self._event(item, time, stream)
            new += [event] if event else []
            known.append((key, time))
        if new:
            yield new
        if known:
            seen.add(*known)
            seen.advance(max(time for _, time in known))
            seen.save()

    def _pages(self, http: Http, stream: str, since: datetime | None) -> Iterator[Sequence[Any]]:
        where = f"{self._url}/Datastreams({_literal(stream)})/Observations" if stream else f"{self._url}/Observations"
        params: dict[str, Any] = {"$orderby": "phenomenonTime asc", "$top": self._page, "$expand": "Datastream"}
        params |= {"$filter": f"phenomenonTime ge {iso(since)}"} if since else {}
        url: str | None = where
        for _ in range(_PAGES):
            document = http.document(str(url), params or None)
            values = document.get("value")
            if not isinstance(values, list):
                raise InvalidInput(f"'{where}' answers with no list of observations.")
            yield values
            link = document.get("@iot.nextLink")
            if not link or not values:
                return
            url, params = urljoin(str(url), str(link)), {}

    def _read(self, item: Any, seen: Seen) -> tuple[datetime | None, str]:
        """Return the time of an observation and what identifies it; no time when it was rejected."""
        try:
            if not isinstance(item, dict) or item.get("@iot.id") is None:
                raise InvalidInput("The observation has no @iot.id.")
            told = item.get("phenomenonTime") or item.get("resultTime")
            # An interval counts from where it ends: then it is known.
            return instant_of(told.rpartition("/")[2] if isinstance(told, str) else told), str(item["@iot.id"])
        except InvalidInput as error:
            seen.reject(self._context, error.message, item)
            return None, ""

    def _event(self, item: dict[str, Any], time: datetime, stream: str) -> Event | None:
        series = item.get("Datastream") if isinstance(item.get("Datastream"), dict) else {}
        about = series or {}
        unit = about.get("unitOfMeasurement") if isinstance(about.get("unitOfMeasurement"), dict) else {}
        name = self._names.get(stream) or "result"
        data = {name: item.get("result"), "unit": (unit or {}).get("symbol"), "datastream": about.get("@iot.id")}
        data |= {"name": about.get("name"), "phenomenonTime": item.get("phenomenonTime")}
        data |= {key: item[key] for key in ("resultTime", "resultQuality", "parameters") if item.get(key) is not None}
        id = within(f"{self._context.name}@Observations({item['@iot.id']})")
        subject = str(about.get("name") or stream)[:300] or None
        return accepted(self._context, Event(id, OBSERVATION, self._context.uri, time, data, subject), item)

    def _named(self, options: Options) -> dict[str, str]:
        given = self._context.options.get("datastreams", [])
        named = dict(given) if isinstance(given, Mapping) else None
        ids = list(named.values()) if named is not None else given if isinstance(given, list | tuple) else [given]
        if not all(type(id) in (int, str) and id != "" for id in ids):
            raise options.refuse("datastreams", "is no list of ids, and no table of names and ids")
        return {str(id): name for name, id in named.items()} if named is not None else {str(id): "" for id in ids}


class _Part:
    """The part of a memory that belongs to one datastream."""

    def __init__(self, context: SourceContext, name: str) -> None:
        self._memory, self._name = context.memory, f"datastream {name}"

    def load(self) -> dict[str, Any]:
        """Return what was saved last."""
        found = self._memory.load().get(self._name, {})
        return dict(found) if isinstance(found, dict) else {}

    def save(self, document: Any) -> None:
        """Keep a document beside those of the other datastreams."""
        self._memory.save(self._memory.load() | {self._name: dict(document)})


def _part(context: SourceContext, stream: str) -> SourceContext:
    return SourceContext(context.name, context.uri, {}, context.read, memory=_Part(context, stream))


def _literal(id: str) -> str:
    return id if id.isdecimal() else "'" + id.replace("'", "''") + "'"
