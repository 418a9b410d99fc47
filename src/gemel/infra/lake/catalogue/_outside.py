"""Searching several outside STAC APIs at once: what answers is merged, what does not is reported."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2

from gemel.base.errors import GemelError, InvalidInput
from gemel.infra.lake.web import Web

_MOST_AT_ONCE = 8
_LARGEST_ANSWER = 64 << 20
_PATIENCE = 5  # times the timeout: whoever sends a byte now and then is given up too


@dataclass(frozen=True)
class Answer:
    """What one endpoint said.

    Attributes:
        endpoint: Its address.
        items: STAC Items.
        problem: Why there are none, in one sentence; empty when it answered.
        seconds: How long it took.
    """

    endpoint: str
    items: list[dict[str, Any]]
    problem: str
    seconds: float


def search_many(
    endpoints: Sequence[str],
    asked: Mapping[str, Any],
    *,
    headers: Mapping[str, Mapping[str, str]] | None = None,
    timeout: float = 20.0,
) -> list[Answer]:
    """Return what each STAC API answers to a search, in their order; one that is dead is reported and not fatal.

    Args:
        endpoints: Addresses of landing pages.
        asked: Body of a search, as `POST /search` takes it.
        headers: By endpoint, such as its `Authorization`; sent to no other one.
        timeout: Seconds without a byte after which an endpoint is given up.

    Raises:
        InvalidInput: There is no endpoint.
    """
    if not endpoints:
        raise InvalidInput("There is no endpoint to search in.", hint="Give the address of a STAC API.")
    shown = headers or {}
    with ThreadPoolExecutor(min(_MOST_AT_ONCE, len(endpoints)), thread_name_prefix="gemel-stac") as pool:
        tasks = [pool.submit(_one, endpoint, asked, shown.get(endpoint, {}), timeout) for endpoint in endpoints]
        return [task.result() for task in tasks]


def _one(endpoint: str, asked: Mapping[str, Any], headers: Mapping[str, str], timeout: float) -> Answer:
    started = time.monotonic()
    items, problem = [], ""
    try:
        items = _items(endpoint, asked, headers, timeout)
    except httpx2.HTTPStatusError as error:
        problem = f"{endpoint} answered {error.response.status_code}."
    except GemelError as error:
        problem = error.message
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        problem = f"{endpoint} cannot be reached: {error or type(error).__name__}."
    except (ValueError, TypeError, AttributeError, RecursionError):
        problem = f"{endpoint} did not answer with a STAC ItemCollection."
    return Answer(endpoint, items, problem, time.monotonic() - started)


def _items(endpoint: str, asked: Mapping[str, Any], headers: Mapping[str, str], timeout: float) -> list[dict[str, Any]]:
    with Web() as web:
        web.check(endpoint)
    address, deadline = f"{endpoint.rstrip('/')}/search", time.monotonic() + _PATIENCE * timeout
    with (
        httpx2.Client(timeout=timeout, headers=dict(headers)) as client,
        client.stream("POST", address, json=dict(asked)) as answer,
    ):
        answer.raise_for_status()
        body = bytearray()
        for part in answer.iter_bytes():
            body += part
            if len(body) > _LARGEST_ANSWER:
                raise ValueError("The answer is too large.")
            if time.monotonic() > deadline:
                raise httpx2.ReadTimeout("it answers too slowly")
    return _features(body)


def _features(body: bytearray) -> list[dict[str, Any]]:
    document = json.loads(body)
    found = document["features"] if isinstance(document, dict) and "features" in document else None
    if not isinstance(found, list) or not all(isinstance(item, dict) and "id" in item for item in found):
        raise ValueError("This is no ItemCollection.")
    return found
