"""New items of a STAC API, asked for again and again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

from gemel.base.clock import iso, utc_now
from gemel.base.errors import InvalidInput
from gemel.base.ids import digest_json
from gemel.core.stream.events import Event
from gemel.core.stream.sources._http import Http
from gemel.core.stream.sources._options import Options
from gemel.core.stream.sources._payload import OBSERVATION, accepted, instant_of, within
from gemel.core.stream.sources._polling import BATCH, Polling, Seen
from gemel.core.stream.sources._source import SourceContext

_OPTIONS = ["url", "collections", "bbox", "datetime", "every", "overlap", "page", "token"]
_SORTED = 5000  # items that are brought into order together
_PAGES = 100_000
_ASSET = ("href", "type", "title", "roles")


class Stac(Polling):
    """Items of a STAC API (version 1.0.0, Item Search), the oldest change first.

    An item is new when it was not seen with its present `updated` (else `created`): a changed item comes again.

    Options:
        url: Of the API's landing page.
        collections: One collection or a list of them (default: all).
        bbox: West, south, east, north in degrees.
        datetime: Instant or interval, as in the API: ``2024-01-01T00:00:00Z/..``.
        every: How often it is asked (default 1 min).
        overlap: How much older than the newest change seen an item may be and still be found new (default 1 h).
        page: Items per page (default 100).
        token: Reference to a bearer token.
    """

    def __init__(self, context: SourceContext) -> None:
        options = Options(context, "stac", _OPTIONS, ("url",))
        super().__init__(context, options.seconds("every", "1 min", 0.01))
        self._url, self._token = options.url("url", ("http", "https")), options.reference("token")
        bbox = options.numbers("bbox", 4)
        self._params: dict[str, Any] = {"limit": options.whole("page", 100, 1, 10_000)}
        self._params |= {"collections": ",".join(options.texts("collections"))} if "collections" in options else {}
        self._params |= {"bbox": ",".join(f"{item:g}" for item in bbox)} if bbox else {}
        self._params |= {"datetime": options.text("datetime")} if "datetime" in options else {}
        self._seen = Seen(context, options.seconds("overlap", "1 h"))

    def passed(self, after: datetime | None) -> Iterator[Event | Sequence[Event]]:
        """Yield the items that are new or changed."""
        http, since, newest = Http(self._url, self._token), self._seen.since, self._seen.stamp
        try:
            for items in self._chunks(http):
                fresh = [item for item in items if self._is_new(item, since)]
                for start in range(0, len(fresh), BATCH):
                    part = fresh[start : start + BATCH]
                    yield [event for event in map(self._event, part) if event]
                    self._seen.add(*((_key(item), changed(item)) for item in part))
                    self._seen.save()
                stamps = [stamp for stamp in map(changed, items) if stamp and stamp <= utc_now()]
                newest = max([*stamps, *([newest] if newest else [])], default=None)
        finally:
            http.close()
        # Only now: had the pass broken off, an older item might still be unseen.
        if newest is not None and newest != self._seen.stamp:
            self._seen.advance(newest)
            self._seen.save()

    def _is_new(self, item: Mapping[str, Any], since: datetime | None) -> bool:
        stamp = changed(item)
        return not self._seen.has(_key(item)) and not (since and stamp and stamp < since)

    def _chunks(self, http: Http) -> Iterator[list[dict[str, Any]]]:
        found: list[dict[str, Any]] = []
        for page in self._pages(http):
            found += page
            if len(found) >= _SORTED:
                yield sorted(found, key=_order)
                found = []
        yield sorted(found, key=_order)

    def _pages(self, http: Http) -> Iterator[list[dict[str, Any]]]:
        url, params, body = f"{self._url}/search", dict(self._params), None
        for _ in range(_PAGES):
            document = http.document(url, params or None, body)
            features = document.get("features")
            if not isinstance(features, list):
                raise InvalidInput(f"'{self._url}' answers a search with no list of items.")
            yield [item for item in features if self._is_item(item)]
            link = _next(document)
            if link is None or not features or self._context.stop.is_set():
                return
            # The link has the parameters in it, or in its body (STAC API, Item Search, paging).
            url, params = urljoin(url, str(link["href"])), {}
            body = link.get("body") if str(link.get("method", "GET")).upper() == "POST" else None

    def _is_item(self, item: Any) -> bool:
        good = isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(item.get("properties"), dict)
        if not good:
            self._seen.reject(self._context, "The search found something that is no STAC item.", item)
        return good

    def _event(self, item: dict[str, Any]) -> Event | None:
        properties, stamp = item["properties"], changed(item)
        told = properties.get("datetime") or properties.get("start_datetime")
        try:
            time = instant_of(told) if told else stamp or utc_now()
        except InvalidInput as error:
            self._seen.reject(self._context, error.message, item)
            return None
        assets = item.get("assets") if isinstance(item.get("assets"), dict) else {}
        data = {name: item.get(name) for name in ("id", "collection", "geometry", "bbox")}
        data |= {name: properties.get(name) for name in ("datetime", "start_datetime", "end_datetime")}
        data |= {"created": properties.get("created"), "updated": properties.get("updated")}
        data["assets"] = {key: _asset(asset) for key, asset in (assets or {}).items() if isinstance(asset, dict)}
        id = within(f"{self._context.name}@{_key(item)}")
        return accepted(self._context, Event(id, OBSERVATION, self._context.uri, time, data, item["id"][:300]), item)


def changed(item: Mapping[str, Any]) -> datetime | None:
    """Return when an item was changed last, else when it was made, None when it does not say."""
    for name in ("updated", "created"):
        told = item["properties"].get(name)
        if isinstance(told, str):
            try:
                return instant_of(told)
            except InvalidInput:
                continue
    return None


def _key(item: Mapping[str, Any]) -> str:
    version = iso(changed(item)) or digest_json([item["properties"], item.get("geometry")])[:16]
    return f"{item.get('collection')}/{item['id']}@{version}"


def _order(item: Mapping[str, Any]) -> tuple[str, str]:
    stamp = changed(item)
    return (iso(stamp) or "" if stamp else "", item["id"])


def _next(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    links = document.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "next" and link.get("href"):
            return link
    return None


def _asset(asset: Mapping[str, Any]) -> dict[str, Any]:
    return {name: asset[name] for name in _ASSET if name in asset}
