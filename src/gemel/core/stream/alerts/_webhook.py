"""Alerts as CloudEvents over HTTP (CloudEvents HTTP protocol binding 1.0.2)."""

from __future__ import annotations

import json
from typing import Any, Literal
from urllib.parse import quote

from gemel.core.stream.alerts._outlet import Notice
from gemel.core.stream.alerts._posting import Poster, PostTable

# Section 3.1.3.2: what is printable ASCII stays, but for the blank, the quote and the percent sign.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


class WebhookTable(PostTable):
    """Options of a webhook.

    Attributes:
        mode: ``structured`` puts the whole event into the body, ``binary`` its attributes into headers.
    """

    mode: Literal["structured", "binary"] = "structured"


class Webhook:
    """Posts each alert as a CloudEvent, signed when there is a secret. Repeats have the same `id` and `source`."""

    needs_earlier = False
    Table = WebhookTable

    def __init__(self, table: WebhookTable) -> None:
        self._table, self._poster = table, Poster(table)

    def send(self, notice: Notice) -> None:
        """Post one alert."""
        document = notice.document()
        if self._table.mode == "structured":
            headers = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
            self._poster.post(self._table.url, json.dumps(document).encode(), headers)
            return
        body = json.dumps(document.pop("data")).encode()
        self._poster.post(self._table.url, body, binary_headers(document))

    def close(self) -> None:
        """Let connections go."""
        self._poster.close()


def binary_headers(document: dict[str, Any]) -> dict[str, str]:
    """Return the headers that carry an event's attributes in binary mode.

    >>> binary_headers({"id": "1", "source": "/g r", "datacontenttype": "application/json"})
    {'Content-Type': 'application/json', 'ce-id': '1', 'ce-source': '/g%20r'}
    """
    rest = {f"ce-{name}": quote(str(value), safe=_PLAIN) for name, value in document.items() if name[:4] != "data"}
    return {"Content-Type": document["datacontenttype"]} | rest
