"""Validation, and results that a client waits for."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from gemel.base.clock import parse_duration
from gemel.base.errors import GraphInvalid
from gemel.base.ids import new_id
from gemel.core.graph import Finding, Run
from gemel.core.workspace import Results
from gemel.faces.openeo._bodies import NewJob, with_graph
from gemel.faces.openeo._context import Context, Document, person
from gemel.faces.openeo._errors import FINDINGS, Problem, RequestRefused, answer, problem_of_run

_LOOK_SECONDS = 0.25
_CLOSED_BY_CLIENT = 499


def add_routes(router: APIRouter, context: Context) -> None:
    """Add the routes of validation and synchronous results to `router`."""

    @router.post("/validation")
    def validation(process: Document, request: Request) -> Document:
        try:
            with_graph(process)
            findings = context.workspace.validate(person(request), process)
        except RequestRefused as error:
            return {"errors": [error.problem.document()]}
        except GraphInvalid as error:
            return {"errors": [_error("ProcessGraphInvalid", f"{error.message} {error.hint or ''}".strip())]}
        return {"errors": [_finding(found) for found in findings]}

    @router.post("/result")
    async def result(body: NewJob, request: Request) -> Response:
        process = with_graph(body.process)
        run_id = await run_in_threadpool(context.workspace.start, person(request), process)
        limit = parse_duration(context.engine.settings.runs.synchronous).total_seconds()
        run = await _awaited(context, run_id, limit, request)
        if run is None:
            return Response(status_code=_CLOSED_BY_CLIENT)
        if run.state != "finished":
            return answer(problem_of_run(run.error))
        log = context.signed(request, f"/runs/{run_id}/logs", "/api/v1")
        response = await run_in_threadpool(_file, context, run)
        response.headers.update({"Link": f'<{log}>; rel="monitor"', "OpenEO-Costs": "0"})
        return response


async def _awaited(context: Context, run_id: str, seconds: float, request: Request) -> Run | None:
    """Return the run when it has ended, or None when the client went away; either way nothing is left running."""
    deadline = time.monotonic() + seconds
    while True:
        run = await run_in_threadpool(context.workspace.wait, run_id, _LOOK_SECONDS)
        if run.finished:
            return run
        gone, late = await request.is_disconnected(), time.monotonic() > deadline
        if gone or late:
            await run_in_threadpool(context.workspace.cancel, run_id)
        if gone:
            return None
        if late:
            message = f"The result was not there after {seconds:g} s. Use a batch job; finished steps are kept."
            raise RequestRefused(408, "RequestTimeout", message)


def _file(context: Context, run: Run) -> Response:
    files = context.workspace.results
    results = files.of(run)
    if len(results.assets) == 1:
        asset = next(iter(results.assets.values()))
        return FileResponse(files.path(asset), media_type=asset.media_type, filename=asset.name)
    if not results.assets:
        return answer(Problem(500, "Internal", "The process left no file."))
    packed = _packed(context, results)
    remove = BackgroundTask(packed.unlink, missing_ok=True)
    return FileResponse(packed, media_type="application/zip", filename="result.zip", background=remove)


def _packed(context: Context, results: Results) -> Path:
    folder = context.engine.settings.home / "packed"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{new_id('result')}.zip"
    # What is in it is compressed already.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, asset in results.assets.items():
            archive.write(context.workspace.results.path(asset), name)
    return path


def _finding(found: Finding) -> dict[str, Any]:
    place = ".".join(part for part in (found.node, found.argument) if part)
    told = " ".join(part for part in (f"[{place}]" if place else "", found.message, found.hint) if part)
    return _error(FINDINGS.get(found.code, "ProcessGraphInvalid"), told)


def _error(code: str, message: str) -> dict[str, Any]:
    return Problem(400, code, message).document()
