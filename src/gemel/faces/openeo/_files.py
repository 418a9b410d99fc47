"""Files that people upload."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from gemel.base.sizes import parse_size
from gemel.faces.openeo._context import Context, Document, page_links
from gemel.faces.openeo._documents import file_document
from gemel.faces.openeo._errors import RequestRefused

Limit = Annotated[int | None, Query(ge=1, le=10_000)]
_PIECE = 1 << 20


def add_routes(router: APIRouter, context: Context) -> None:
    """Add the routes of files to `router`."""
    files = context.workspace.files

    @router.get("/files")
    def listed(request: Request, limit: Limit = None, after: str | None = None) -> Document:
        found = sorted(files.list(), key=lambda item: item.path)
        found = [item for item in found if after is None or item.path > after][:limit]
        links = page_links(request, "/files", found, limit, found[-1].path if found else None)
        return {"files": [file_document(item) for item in found], "links": links}

    @router.get("/files/{path:path}")
    def download(path: str) -> Response:
        stream, found = files.open(path)
        headers = {"Content-Length": str(found.size), "Content-Disposition": "attachment"}
        return StreamingResponse(_pieces(stream, found.size), media_type="application/octet-stream", headers=headers)

    @router.put("/files/{path:path}")
    async def upload(path: str, request: Request) -> Document:
        limit = parse_size(context.engine.settings.server.upload)
        if int(request.headers.get("content-length") or 0) > limit:
            raise RequestRefused(400, "FileSizeExceeded", f"A file may have {limit} bytes.")
        with files.receiving(path, limit) as incoming:
            async for piece in request.stream():
                await run_in_threadpool(incoming.write, piece)
        return file_document(files.describe(path))

    @router.delete("/files/{path:path}", status_code=204)
    def delete(path: str) -> Response:
        files.delete(path)
        return Response(status_code=204)


def _pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    # The length is promised already: what is appended meanwhile is left out.
    with stream:
        while size > 0 and (piece := stream.read(min(_PIECE, size))):
            size -= len(piece)
            yield piece
