"""Conditions and ranges of requests (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime

from gemel.faces.storage._errors import Refusal
from gemel.faces.storage._tree import Node

_TAG = re.compile(r'(?:W/)?"[^"]*"')
_MOST_RANGES = 1000
_RANGE = re.compile(r"(\d{0,19})-(\d{0,19})")


def http_date(seconds: float) -> str:
    """Return a time as HTTP writes it."""
    return formatdate(seconds, usegmt=True)


def check_conditions(headers: Mapping[str, str], node: Node | None, reading: bool) -> None:
    """Return nothing when a request's conditions hold for what is there.

    Args:
        headers: Of the request.
        node: What is there, or None.
        reading: Whether the request only reads: a file that the client has already is answered with 304 then.

    Raises:
        Refusal: They do not (412, or 304).
    """
    tag = node.tag if node else None
    if "if-match" in headers:
        if not _listed(headers["if-match"], tag, node, weak=False):
            raise _failed("If-Match")
    elif "if-unmodified-since" in headers and _later(node, headers["if-unmodified-since"]):
        raise _failed("If-Unmodified-Since")
    if "if-none-match" in headers:
        if _listed(headers["if-none-match"], tag, node, weak=True):
            raise Refusal(304, "", _tags(node)) if reading else _failed("If-None-Match")
    elif reading and node and "if-modified-since" in headers and _later(node, headers["if-modified-since"]) is False:
        raise Refusal(304, "", _tags(node))


def ranges_of(headers: Mapping[str, str], node: Node) -> list[tuple[int, int]]:
    """Return the parts that a request asks for, each as its first byte and the one after its last; none for the whole.

    Raises:
        Refusal: No byte of them is there (416).

    >>> ranges_of({"range": "bytes=0-1, -2"}, Node("f", False, 10))
    [(0, 2), (8, 10)]
    """
    unit, _, spec = headers.get("range", "").partition("=")
    asked = [_RANGE.fullmatch(item.strip()) for item in spec.split(",")]
    if unit.strip().lower() != "bytes" or len(asked) > _MOST_RANGES or not _still(headers, node):
        return []
    found: list[tuple[int, int]] = []
    for item in asked:
        first, last = item.groups() if item else ("", "")
        # A header that is none is as good as no header (RFC 9110, section 14.2).
        if not (first or last) or (first and last and int(last) < int(first)):
            return []
        start = int(first) if first else max(node.size - int(last), 0)
        stop = min(int(last) + 1, node.size) if first and last else node.size
        if start < stop:
            found.append((start, stop))
    if not found:
        raise Refusal(416, f"The file has {node.size} bytes.", {"Content-Range": f"bytes */{node.size}"})
    # Parts that overlap would make many bytes of few.
    return found if sum(stop - start for start, stop in found) <= node.size else []


def _still(headers: Mapping[str, str], node: Node) -> bool:
    """Return whether what `If-Range` names is what is there (RFC 9110, section 13.1.5)."""
    asked = headers.get("if-range", "").strip()
    if not asked:
        return True
    if asked.startswith(('"', "W/")):
        return asked == node.tag and not asked.startswith("W/")
    return node.modified is not None and asked == http_date(node.modified)


def _listed(header: str, tag: str | None, node: Node | None, weak: bool) -> bool:
    if header.strip() == "*":
        return node is not None
    tags = _TAG.findall(header)
    if tag is None:
        return False
    if weak:
        return tag.removeprefix("W/") in [item.removeprefix("W/") for item in tags]
    return not tag.startswith("W/") and tag in tags


def _later(node: Node | None, header: str) -> bool | None:
    """Return whether something was changed after a date; None where that cannot be told."""
    if node is None or node.modified is None:
        return None
    try:
        return int(node.modified) > parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError):
        return None


def _tags(node: Node | None) -> dict[str, str]:
    return {"ETag": node.tag} if node and node.tag else {}


def _failed(name: str) -> Refusal:
    return Refusal(412, f"The condition {name} does not hold for what is there now.")
