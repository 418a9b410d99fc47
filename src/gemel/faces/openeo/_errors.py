"""Errors in openEO's shape: an id that the log knows too, a code of the standard's list, a message, links."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gemel.base.errors import GemelError
from gemel.base.ids import new_id
from gemel.server import STATUS

_log = logging.getLogger(__name__)
# Findings on a graph, by gemel's slug, in the words of errors.json of the openEO API 1.2.0.
FINDINGS = {
    "unknown-process": "ProcessUnsupported",
    "broken-process": "ProcessUnsupported",
    "missing-argument": "ProcessParameterRequired",
    "unknown-argument": "ProcessParameterUnsupported",
    "wrong-type": "ProcessParameterInvalid",
    "unit-mismatch": "ProcessParameterInvalid",
}
_MISSING = {
    "job": "JobNotFound",
    "service": "ServiceNotFound",
    "stored process": "ProcessGraphNotFound",
    "collection": "CollectionNotFound",
    "file": "FileNotFound",
}
_CONFLICTS = {
    "locked": (400, "JobLocked"),
    "not-started": (400, "JobNotStarted"),
    "not-finished": (400, "JobNotFinished"),
    "busy": (503, "InfrastructureBusy"),
}
_INPUTS = {
    "service-type": (400, "ServiceUnsupported"),
    "file": (400, "FilePathInvalid"),
    "media-type": (400, "ContentTypeInvalid"),
}
_PLAIN = {
    "not-found": (404, "NotFound"),
    "graph.invalid": (400, "ProcessGraphInvalid"),
    "access.denied": (403, "PermissionsInsufficient"),
    "access.unauthenticated": (401, "AuthenticationRequired"),
    "memory.does-not-fit": (400, "ProcessGraphComplexity"),
    "run.timeout": (408, "RequestTimeout"),
    "store.full": (500, "StorageFailure"),
    "store.corrupt": (500, "StorageFailure"),
    "store.unavailable": (503, "InfrastructureMaintenance"),
    "engine.stopped": (503, "InfrastructureMaintenance"),
    "extra.missing": (501, "FeatureUnsupported"),
    "tool.missing": (501, "FeatureUnsupported"),
    "sandbox.missing": (501, "FeatureUnsupported"),
    "input.out-of-bounds": (400, "ProcessParameterInvalid"),
    "unit.mismatch": (400, "ProcessParameterInvalid"),
    "input.invalid": (400, "ProcessParameterInvalid"),
}


@dataclass(frozen=True)
class Problem:
    """What a client is told."""

    status: int
    code: str
    message: str

    def document(self) -> dict[str, Any]:
        """Return the error object (schema `error` of the API), with an id of this occurrence."""
        return {"id": new_id("error"), "code": self.code, "message": self.message, "links": []}


class RequestRefused(Exception):
    """Raised inside the face for what only the standard knows."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(status, code, message)


def problem_of(error: GemelError) -> Problem:
    """Return what a client is told of an error of the engine."""
    message = f"{error.message} {error.hint}" if error.hint else error.message
    if error.code == "run.step-failed":
        return _of_step(error.context, message)
    return Problem(*_classified(error.code, error.context), message)


def problem_of_run(document: Mapping[str, Any] | None) -> Problem:
    """Return what a client is told of a run that failed, from the error in its record."""
    found = document or {"code": "error", "message": "The run ended without a result."}
    error = GemelError(str(found.get("message")), hint=found.get("hint"))
    error.context = dict(found.get("context") or {})
    if found.get("code") == "run.step-failed":
        return _of_step(error.context, f"{error.message} {error.hint or ''}".strip())
    return Problem(*_classified(str(found.get("code")), error.context), error.message)


def _of_step(context: Mapping[str, Any], message: str) -> Problem:
    # The exceptions that a process declares are error codes of their own in openEO.
    if context.get("cause") == "process.refused" and context.get("exception"):
        return Problem(400, str(context["exception"]), message)
    status, code = _classified(str(context.get("cause")), context)
    return Problem(status, code, message)


def _classified(code: str, context: Mapping[str, Any]) -> tuple[int, str]:
    kind, reason = str(context.get("kind", "")), str(context.get("reason", ""))
    if code == "not-found":
        return 404, _MISSING.get(kind, "NotFound")
    if code == "conflict":
        return (
            (400, "PredefinedProcessExists") if kind == "stored process" else _CONFLICTS.get(reason, (400, "Conflict"))
        )
    if code == "access.denied" and reason == "expired":
        return 410, "ResultLinkExpired"
    if code == "graph.invalid" and context.get("findings"):
        return 400, FINDINGS.get(context["findings"][0]["code"], "ProcessGraphInvalid")
    if kind == "service-parameter":
        return 400, "ServiceConfigUnsupported" if reason == "unsupported" else "ServiceConfigInvalid"
    if code == "input.out-of-bounds" and kind == "file":
        return 400, "FileSizeExceeded"
    if kind == "file" and reason == "folder":
        return 400, "FolderOperationUnsupported"
    if code.startswith("input.") and kind in _INPUTS:
        return _INPUTS[kind]
    return _PLAIN.get(code, (max(500, STATUS.get(code, 500)), "Internal"))


def answer(problem: Problem) -> Response:
    """Return the HTTP answer; what is the engine's own fault is logged under the id that the client sees."""
    document = problem.document()
    if problem.status >= 500:
        _log.error("%s %s: %s", document["id"], problem.code, problem.message)
    headers = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else {}
    return Response(json.dumps(document, ensure_ascii=False), problem.status, headers, "application/json")


def add_errors(app: FastAPI) -> None:
    """Make the app answer every error in openEO's shape, its framework's own included."""

    @app.exception_handler(GemelError)
    def ours(_request: Request, error: GemelError) -> Response:
        return answer(problem_of(error))

    @app.exception_handler(RequestRefused)
    def refused(_request: Request, error: RequestRefused) -> Response:
        return answer(error.problem)

    @app.exception_handler(HTTPException)
    def framework(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return answer(Problem(404, "NotFound", f"There is nothing at {request.scope['path']}."))
        if error.status_code == 405:
            return answer(Problem(405, "MethodNotAllowed", f"{request.method} is not possible here."))
        code = "RequestTooLarge" if error.status_code == 413 else "RequestInvalid"
        return answer(Problem(error.status_code, code, str(error.detail)))

    @app.exception_handler(RequestValidationError)
    def body(_request: Request, error: RequestValidationError) -> Response:
        return answer(_of_body(error))

    @app.exception_handler(Exception)
    def unexpected(_request: Request, error: Exception) -> Response:
        return answer(Problem(500, "Internal", f"The engine stumbled: {type(error).__name__}."))


def _of_body(error: RequestValidationError) -> Problem:
    found = [(".".join(map(str, item["loc"][1:])), item["msg"]) for item in error.errors()]
    message = "; ".join(f"{place}: {text}" if place else text for place, text in found)
    if any(place in ("process", "process_graph") or place.startswith("process.") for place, _ in found):
        return Problem(400, "ProcessGraphMissing", f"Invalid process specified: {message}.")
    return Problem(400, "RequestInvalid", f"The request cannot be used: {message}.")
