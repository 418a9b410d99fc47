"""The data lake under /api/v1/data: every route hands on to the engine's service, nothing is decided here."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote_to_bytes

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from gemel.base.errors import InvalidInput
from gemel.core.engine import DataService, is_over
from gemel.server import _data_bodies as bodies
from gemel.server._data_bodies import Id, Wait
from gemel.server._data_content import add_content_routes
from gemel.server._work import message, sse, waited, worked

Document = dict[str, Any]
_PREFIX = "/api/v1/data"
_QUIET_SECONDS = 15.0
_PARQUET = "application/vnd.apache.parquet"


def data_api(service: DataService) -> APIRouter:
    """Return the routes of the data lake."""
    router = APIRouter(prefix=_PREFIX, dependencies=[Depends(_spelled)])
    _dataset_routes(router, service)
    add_content_routes(router, service)
    _truth_routes(router, service)
    _transfer_routes(router, service)
    _change_routes(router, service)
    _storage_routes(router, service)
    _token_routes(router, service)
    _rule_routes(router, service)
    _watch_routes(router, service)
    return router


def _spelled(request: Request) -> None:
    """Raise unless the address is UTF-8: what is not would get signs in its names that nobody wrote."""
    try:
        unquote_to_bytes(request.scope["raw_path"]).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("The address is not UTF-8.") from error


def _dataset_routes(router: APIRouter, service: DataService) -> None:
    @router.get("/datasets")
    def datasets(asked: Annotated[bodies.Find, Query()]) -> Document:
        return {"datasets": service.find(asked.q, after=asked.after, limit=asked.limit)}

    @router.post("/datasets", status_code=201)
    def register(body: bodies.Registration, response: Response) -> Document:
        document = service.register(body.name, body.storage, body.path, body.facts())
        response.headers["Location"] = f"{_PREFIX}/datasets/{quote(document['name'])}"
        return document

    @router.get("/datasets/{name}")
    def dataset(name: str) -> Document:
        return service.get(name)

    @router.delete("/datasets/{name}", status_code=204)
    def remove(name: str) -> Response:
        service.remove(name)
        return Response(status_code=204)

    @router.post("/datasets/{name}/members")
    def group(name: str, body: bodies.Members) -> Document:
        about = body.model_dump(include={"metadata", "licence", "lifetime"})
        return service.group(name, body.members, body.kind, about)

    @router.get("/datasets/{name}/description")
    def description(name: str, asked: Annotated[bodies.Description, Query()]) -> Document:
        return service.describe(name, asked.options, asked.rows)


def _truth_routes(router: APIRouter, service: DataService) -> None:
    @router.post("/verify", response_model=None)
    async def verify(request: Request, body: bodies.Verification) -> Response:
        return await worked(request, lambda told: service.verify(body.names, repair=body.repair, told=told))

    @router.post("/storages/{name}/registrations", response_model=None)
    async def register_folder(request: Request, name: str, body: bodies.FolderRegistration) -> Response:
        place, about = (body.scope, name, body.folder), body.facts()
        return await worked(
            request, lambda told: {"registered": service.register_folder(*place, about=about, told=told)}
        )

    @router.get("/collections/{collection}/geoparquet", response_class=FileResponse)
    def export(collection: str) -> Response:
        folder = tempfile.TemporaryDirectory(prefix="gemel-export-")
        try:
            path = Path(folder.name) / "items.parquet"
            count = service.export(collection, path)
        except BaseException:
            folder.cleanup()
            raise
        headers = {"Content-Disposition": "attachment", "X-Items": str(count)}
        return FileResponse(path, media_type=_PARQUET, headers=headers, background=BackgroundTask(folder.cleanup))


def _transfer_routes(router: APIRouter, service: DataService) -> None:
    moving = service.moving

    @router.post("/transfers", status_code=201)
    async def request_transfers(request: Request, body: bodies.Request, wait: Wait = 0.0) -> Document:
        ask = functools.partial(moving.request, only=body.only, priority=body.priority)
        begun = await run_in_threadpool(ask, body.names, body.storage)

        def look() -> list[Document]:
            begun[:] = [item if is_over(item) else moving.get(item["id"]) for item in begun]
            return begun

        return {"transfers": await waited(request, look, _all_over, wait) if wait else begun}

    @router.get("/transfers")
    async def transfers(request: Request, asked: Annotated[bodies.Listing, Query()]) -> Document:
        def look() -> list[Document]:
            limit = max(asked.limit, len(asked.id))
            return moving.list(state=asked.state, name=asked.name, ids=asked.id or None, limit=limit)

        return {"transfers": await waited(request, look, _all_over, asked.wait)}

    @router.get("/transfers/{id}")
    async def transfer(request: Request, id: Id, wait: Wait = 0.0) -> Document:
        return await waited(request, lambda: moving.get(id), is_over, wait)

    @router.post("/transfers/{id}/cancel")
    def cancel(id: Id) -> Document:
        return moving.cancel(id)


def _all_over(transfers: list[Document]) -> bool:
    return all(is_over(item) for item in transfers)


def _change_routes(router: APIRouter, service: DataService) -> None:
    @router.get("/changes")
    async def changes(request: Request, asked: Annotated[bodies.After, Query()]) -> Document:
        def look() -> list[Document]:
            return service.changes(asked.after, name=asked.name, limit=asked.limit)

        found = await waited(request, look, bool, asked.wait)
        return {"changes": found, "latest": await run_in_threadpool(service.last_change)}

    @router.get("/events", response_class=StreamingResponse)
    async def events(request: Request, name: bodies.Text | None = None, after: int | None = None) -> StreamingResponse:
        seen = request.headers.get("last-event-id", "")
        begin = int(seen) if seen.isdecimal() and len(seen) < 19 else after
        number = await run_in_threadpool(service.last_change) if begin is None else min(max(begin, 0), 2**63 - 1)
        await run_in_threadpool(service.changes, number, name=name, limit=1)
        return sse(_messages(service, name, number, request))


async def _messages(service: DataService, name: str | None, after: int, request: Request) -> AsyncIterator[str]:
    yield ": connected\n\n"
    number = after
    while not (request.app.state.stopping.is_set() or await request.is_disconnected()):
        look = functools.partial(service.changes, number, name=name)
        found = await waited(request, look, bool, _QUIET_SECONDS)
        for change in found:
            number = change["number"]
            yield message(change, number)
        if not found:
            yield ": still here\n\n"


def _storage_routes(router: APIRouter, service: DataService) -> None:
    keeping = service.keeping

    @router.get("/storages")
    def storages() -> Document:
        return {"storages": keeping.storages()}

    @router.post("/storages", status_code=201)
    def add(body: bodies.NewStorage, response: Response) -> Document:
        standing = body.model_dump(include={"site", "tags", "quota"})
        document = keeping.add_storage(body.name, body.kind, body.options, **standing)
        response.headers["Location"] = f"{_PREFIX}/storages/{quote(body.name)}"
        return document

    @router.get("/storages/{name}")
    def storage(name: str) -> Document:
        return keeping.storage(name)

    @router.patch("/storages/{name}")
    def change(name: str, body: bodies.Standing) -> Document:
        return keeping.set_storage(name, **body.model_dump(exclude_unset=True))

    @router.delete("/storages/{name}", status_code=204)
    def remove(name: str) -> Response:
        keeping.remove_storage(name)
        return Response(status_code=204)

    @router.post("/storages/{name}/reclaim")
    def reclaim(name: str, body: bodies.Reclaiming | None = None) -> Document:
        return {"reclaimed": keeping.reclaim(name, body.bytes if body else None)}


def _token_routes(router: APIRouter, service: DataService) -> None:
    keeping = service.keeping

    @router.get("/tokens")
    def tokens() -> Document:
        return {"tokens": keeping.tokens()}

    @router.post("/tokens", status_code=201)
    def add(body: bodies.NewToken) -> Document:
        return keeping.add_token(body.name, body.kind, body.options)

    @router.delete("/tokens/{name}", status_code=204)
    def remove(name: Id) -> Response:
        keeping.remove_token(name)
        return Response(status_code=204)

    @router.post("/tokens/try")
    def try_token(body: bodies.Trial) -> Document:
        return keeping.try_token(body.storage, body.operation, body.path)


def _rule_routes(router: APIRouter, service: DataService) -> None:
    keeping = service.keeping

    @router.get("/rules")
    def rules(name: bodies.Text | None = None) -> Document:
        return {"rules": keeping.rules(name)}

    @router.post("/rules", status_code=201)
    def add(body: bodies.NewRule, response: Response) -> Document:
        document = keeping.add_rule(body.name, body.copies, **body.model_dump(exclude={"name", "copies"}))
        response.headers["Location"] = f"{_PREFIX}/rules/{document['id']}"
        return document

    @router.get("/rules/{id}")
    def rule(id: Id) -> Document:
        return keeping.rule(id)

    @router.delete("/rules/{id}", status_code=204)
    def remove(id: Id) -> Response:
        keeping.remove_rule(id)
        return Response(status_code=204)

    @router.post("/rounds")
    def keep() -> Document:
        return keeping.keep()


def _watch_routes(router: APIRouter, service: DataService) -> None:
    keeping = service.keeping

    @router.get("/watches")
    def watches() -> Document:
        return {"watches": keeping.watches()}

    @router.post("/watches", status_code=201)
    def add(body: bodies.NewWatch) -> Document:
        options = body.model_dump(include={"pattern", "into", "licence"})
        return keeping.add_watch(body.storage, body.folder, body.scope, **options)

    @router.delete("/watches/{id}", status_code=204)
    def remove(id: Id) -> Response:
        keeping.remove_watch(id)
        return Response(status_code=204)

    @router.post("/watches/scan")
    def scan() -> Document:
        return {"registered": keeping.scan()}

    @router.post("/notifications")
    def notified(document: Document) -> Document:
        return {"registered": keeping.notified(document)}
