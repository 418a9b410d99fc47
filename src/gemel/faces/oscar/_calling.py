"""Calling a service: input in base64 (whatever its type says) or JSON, results in base64, one job for each record of an event."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import PlainTextResponse, Response

from gemel.base.errors import InvalidInput
from gemel.base.ids import digest_json
from gemel.core.stream.functions import Call
from gemel.faces.oscar._asked import Asked

_SLICE_SECONDS = 1.0  # between looks at whether the server ends
_MOST_RECORDS = 1000


def run(asked: Asked) -> Response:
    """Return the result of a call in base64, as `faas-supervisor` does, once there is one."""
    call = asked.functions.invoke(asked.name, input_of(asked.body))
    while not call.over:
        if asked.stopping is not None and asked.stopping.is_set():
            return PlainTextResponse(f"The engine ends; call {call.id} goes on in the next.", 503)
        call = asked.functions.wait(call.id, _SLICE_SECONDS)
    if call.state == "failed":
        return _failure(asked, call)
    output = asked.functions.output(call.id) or b""
    return PlainTextResponse(base64.b64encode(output))


def _failure(asked: Asked, call: Call) -> Response:
    error = call.error or {"message": "It failed."}
    wrong = error.get("code") == "input.invalid"
    return PlainTextResponse(f"{error['message']} (call {call.id})", 400 if wrong else 500)


def job(asked: Asked) -> Response:
    """Return the ids of the jobs that were begun, a line each: one, or one for each record of an S3 event.

    A record that comes again (the same bucket, key, and sequencer or ETag) is the job that it was.
    """
    data = input_of(asked.body)
    records = _records(data)
    if records is None:
        calls = [asked.functions.invoke(asked.name, data)]
    else:
        calls = [
            asked.functions.invoke(asked.name, json.dumps(document).encode(), cause=_cause(record))
            for document, record in records
        ]
    return PlainTextResponse("\n".join(call.id for call in calls), 201)


def input_of(body: bytes) -> bytes:
    """Return the input in a body: JSON objects and lists as they are, everything else out of base64, if it is that.

    >>> input_of(b"eyJ4IjogMX0="), input_of(b'{"x": 1}'), input_of(b"plain text")
    (b'{"x": 1}', b'{"x": 1}', b'plain text')
    """
    if body.lstrip()[:1] in (b"{", b"["):
        return body
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        return body


def _records(data: bytes) -> list[tuple[dict[str, Any], Mapping[str, Any]]] | None:
    """Return for each record of an S3 event notification the event with it alone, and it; None for anything else."""
    if not data.lstrip().startswith(b"{"):
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    records = document.get("Records")
    if not isinstance(records, list) or not records or not all(_is_s3(item) for item in records):
        return None
    if len(records) > _MOST_RECORDS:
        raise InvalidInput(f"An event has {_MOST_RECORDS} records at most.")
    return [(_alone(document, item), item) for item in records]


def _is_s3(record: Any) -> bool:
    try:
        return isinstance(record["s3"]["object"]["key"], str) and isinstance(record["s3"]["bucket"]["name"], str)
    except (LookupError, TypeError):
        return False


def _alone(document: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    key = f"{record['s3']['bucket']['name']}/{record['s3']['object']['key']}"
    return dict(document) | {"Key": key, "Records": [record]}


def _cause(record: Mapping[str, Any]) -> str | None:
    """Return what tells a record from all others; None where nothing does, so that none is taken for another."""
    thing = record["s3"]["object"]
    mark = thing.get("sequencer") or thing.get("eTag") or thing.get("versionId")
    if not isinstance(mark, str):
        return None
    bucket = record["s3"]["bucket"]["name"]
    # Deletion and creation of the same content are two things.
    return f"s3/{digest_json([bucket, thing['key'], mark, str(record.get('eventName', ''))])}"
