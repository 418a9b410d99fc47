"""What Rucio says when it refuses, in gemel's own errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gemel.base.errors import (
    Conflict,
    Denied,
    GemelError,
    InvalidInput,
    NotFound,
    StoreFull,
    StoreUnavailable,
    Unauthenticated,
)

_LONGEST = 300  # letters of a reason: validation errors hold the whole schema

# Names of classes in `rucio.common.exception` (Rucio 41.5.1).
_KINDS: Mapping[str, type[GemelError]] = {
    **dict.fromkeys(("CannotAuthenticate", "CannotAuthorize", "IdentityError", "IdentityNotFound"), Unauthenticated),
    **dict.fromkeys(("ReplicaIsLocked", "FileConsistencyMismatch", "UnsupportedStatus"), Conflict),
    **dict.fromkeys(("InsufficientAccountLimit", "FullStorage", "RSEOverQuota"), StoreFull),
    **dict.fromkeys(
        (
            "InvalidObject", "InvalidPath", "InvalidRSEExpression", "InvalidReplicationRule", "InvalidMetadata",
            "InvalidValueForKey", "InputValidationError", "InsufficientTargetRSEs", "RSEFileNameNotSupported",
            "UnsupportedOperation", "UnsupportedRequestedContentType", "RSEProtocolNotSupported",
        ),
        InvalidInput,
    ),
}  # fmt: skip
_HINTS: Mapping[type[GemelError], str] = {
    Unauthenticated: "Are its account, user and password right, or its token still valid?",
    Denied: "Does the account have this right there, or own the scope?",
    StoreFull: "Ask Rucio's administrators for more, or name other storages.",
}


def refusal(storage: str, status: int, told: Mapping[str, Any]) -> GemelError:
    """Return the error for what a Rucio server answered.

    Args:
        storage: Name of the storage by which the server is known.
        status: Of the answer.
        told: Its `ExceptionClass` and `ExceptionMessage`, as far as they are there.

    >>> type(refusal("desy", 404, {"ExceptionClass": "RSENotFound", "ExceptionMessage": "No 'X'"})).__name__
    'NotFound'
    """
    name = str(told.get("ExceptionClass") or "")
    reason = " ".join(str(told.get("ExceptionMessage") or "").split())[:_LONGEST].rstrip(".") or f"status {status}"
    kind = _KINDS.get(name) or _by_shape(name) or _by_status(status)
    message = f"Rucio behind storage '{storage}' refuses: {reason}."
    return kind(message, hint=_HINTS.get(kind), storage=storage, exception=name or None, status=status)


def _by_shape(name: str) -> type[GemelError] | None:
    if name.endswith("NotFound"):
        return NotFound
    if name.endswith("AccessDenied"):
        return Denied
    if name.startswith("Duplicate") or name.endswith(("AlreadyExists", "Duplicate")):
        return Conflict
    return StoreFull if "Quota" in name else None


def _by_status(status: int) -> type[GemelError]:
    return {401: Unauthenticated, 403: Denied, 404: NotFound, 409: Conflict}.get(status, StoreUnavailable)
