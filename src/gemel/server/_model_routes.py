"""Models and trainings under /api/v1: every route hands on to the engine's service."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from gemel.base.errors import InvalidInput
from gemel.core.engine import ModelService
from gemel.server._body import bounded_body

Document = dict[str, Any]
_LARGEST = 64 << 20
Levels = Annotated[list[float] | None, Query(description="Quantiles of the answer; default 0.05, 0.5 and 0.95.")]


def model_api(models: ModelService) -> APIRouter:
    """Return the routes of models and trainings."""
    router = APIRouter(prefix="/api/v1")
    _reading_routes(router, models)
    _changing_routes(router, models)
    _serving_routes(router, models)
    _training_routes(router, models)
    return router


def _reading_routes(router: APIRouter, models: ModelService) -> None:
    @router.get("/models")
    def listed() -> Document:
        return {"models": list(models.list())}

    @router.get("/model-kinds")
    def kinds() -> Document:
        return {"kinds": list(models.kinds())}

    @router.get("/models/{name}")
    def one(name: str) -> Document:
        return models.get(name)

    @router.get("/models/{name}/history")
    def history(name: str) -> Document:
        return {"history": list(models.history(name))}

    @router.get("/models/{name}/at/{instant}")
    def at(name: str, instant: str) -> Document:
        return models.at(name, instant)

    @router.get("/models/{name}/versions/{at}")
    def version(name: str, at: str) -> Document:
        return models.version(f"{name}@{at}")

    @router.get("/models/{name}/versions/{at}/export")
    def export(name: str, at: str, format: str = "netcdf") -> Response:
        content, kind = models.export(f"{name}@{at}", format)
        ending = "nc" if format == "netcdf" else "onnx"
        disposition = f'attachment; filename="{name}-{at}.{ending}"'
        return Response(content, media_type=kind, headers={"Content-Disposition": disposition})


def _changing_routes(router: APIRouter, models: ModelService) -> None:
    @router.post("/models", status_code=202)
    def train(body: Document) -> Document:
        missing = [key for key in ("description", "data", "name") if key not in body]
        if missing:
            raise InvalidInput(f"A training needs {', '.join(missing)}.", hint="description, data and name")
        chosen = {key: body[key] for key in ("seed", "start") if key in body}
        return models.train(body["description"], body["data"], body["name"], **chosen)

    @router.post("/models/{name}/promote")
    def promote(name: str, version: int, why: str = "") -> Document:
        return models.promote(name, version, why)

    @router.post("/models/{name}/rollback")
    def rollback(name: str, why: str = "") -> Document:
        return models.rollback(name, why)

    @router.put("/models/{name}/aliases/{alias}")
    def assign(name: str, alias: str, version: int, why: str = "") -> Document:
        return models.assign(name, alias, version, why)

    @router.delete("/models/{name}/aliases/{alias}")
    def unassign(name: str, alias: str, why: str = "") -> Document:
        return models.assign(name, alias, None, why)

    @router.post("/models/{name}/versions/{at}/judge", status_code=202)
    def judge(name: str, at: str, data: str, metric: str = "rmse", margin: float = 0.0) -> Document:
        return models.judge(f"{name}@{at}", data, metric=metric, margin=margin)


def _serving_routes(router: APIRouter, models: ModelService) -> None:
    @router.post("/models/{name}/versions/{at}/predict")
    async def predict(name: str, at: str, request: Request, level: Levels = None) -> Document:
        body = await bounded_body(request, _LARGEST)
        try:
            inputs = json.loads(body)
        except ValueError as error:
            raise InvalidInput(f"The request is not JSON: {error}.", hint='{"rain": [1.0, 2.0]}') from error
        if not isinstance(inputs, dict):
            raise InvalidInput("A request is an object, input to numbers.", hint='{"rain": [1.0, 2.0]}')
        chosen = {} if level is None else {"levels": tuple(level)}
        return await run_in_threadpool(models.predict, f"{name}@{at}", inputs, **chosen)


def _training_routes(router: APIRouter, models: ModelService) -> None:
    @router.get("/trainings")
    def trainings() -> Document:
        return {"trainings": list(models.trainings())}

    @router.get("/trainings/{training}")
    def training(training: str) -> Document:
        return models.training(training)

    @router.post("/trainings/{training}/control")
    def control(training: str, body: Document) -> Document:
        return models.steer(training, body)
