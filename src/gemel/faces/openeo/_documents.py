"""Jobs, results, logs, services and files as the API's documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request

from gemel.core.workspace import Asset, Expected, Job, LogEntry, Results, SecondaryService, StoredFile
from gemel.faces.openeo._context import STAC_VERSION, Context, Document, address, instant

_FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
_SETTINGS = ("plan", "budget", "log_level")


def job_document(job: Job, *, full: bool = False) -> Document:
    """Return a job (schema `batch_job`), with its process when `full`."""
    document: Document = {
        "id": job.id,
        "title": job.title,
        "description": job.description,
        "status": job.status,
        "created": instant(job.created),
        "updated": instant(job.updated),
        "costs": 0,
    }
    document |= {name: job.settings[name] for name in _SETTINGS if job.settings.get(name) is not None}
    if job.run is not None and job.run.finished:
        document["progress"] = 100 if job.status == "finished" else 0
        begun, ended = job.run.started, job.run.ended
        if begun is not None and ended is not None:
            document["usage"] = {"duration": {"value": round(ended - begun, 3), "unit": "second"}}
    if full:
        document["process"] = job.process
        document |= {name: value for name, value in job.settings.items() if name not in document}
    return {name: value for name, value in document.items() if value is not None}


def result_document(job: Job, results: Results, request: Request, context: Context) -> Document:
    """Return the result of a job as a STAC Item whose assets have signed addresses (schema `batch_job_result`)."""
    place = f"/jobs/{job.id}/results"
    properties = {"datetime": None, **results.item["properties"], "created": instant(job.created)}
    # Clients that know one instant only are told the first.
    properties["datetime"] = properties["datetime"] or properties.get("start_datetime")
    properties |= {"updated": instant(job.updated), "openeo:status": _result_status(job)}
    properties |= {name: text for name, text in (("title", job.title), ("description", job.description)) if text}
    assets = {
        name: _described(asset) | {"href": context.signed(request, f"{place}/assets/{name}")}
        for name, asset in results.assets.items()
    }
    links = [
        {"rel": "self", "href": address(request, place), "type": "application/geo+json"},
        {"rel": "canonical", "href": context.signed(request, place), "type": "application/geo+json"},
    ]
    if job.run is not None:
        # What made it: steps, versions of code, inputs and times.
        links += [
            {
                "rel": rel,
                "href": context.signed(request, f"/runs/{job.run.id}{part}", "/api/v1"),
                "type": "application/json",
                "title": title,
            }
            for rel, part, title in (("via", "", "The run that made it"), ("derived_from", "/explain", "Its lineage"))
        ]
    document = {name: results.item[name] for name in ("geometry", "bbox") if results.item.get(name) is not None}
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [_FILE_EXTENSION],
        "id": job.id,
        "geometry": None,
        **document,
        "properties": properties,
        "links": links,
        "assets": assets,
    }


def _described(asset: Asset) -> Document:
    return asset.document | {"title": asset.document.get("title") or asset.name, "type": asset.media_type}


def _result_status(job: Job) -> str:
    return {"queued": "running", "created": "running"}.get(job.status, job.status)


def log_documents(entries: Iterable[LogEntry]) -> list[Document]:
    """Return log entries (schema `log_entry`)."""
    return [log_document(entry) for entry in entries]


def log_document(entry: LogEntry) -> Document:
    """Return one log entry."""
    document: Document = {
        "id": entry.id,
        "level": entry.level,
        "message": entry.message,
        "time": instant(entry.time),
        "path": [{"node_id": entry.node}] if entry.node else [],
        "links": [],
    }
    return document if entry.code is None else document | {"code": entry.code}


def service_document(service: SecondaryService, url: str, *, full: bool = False) -> Document:
    """Return a secondary service (schema `service`)."""
    document: Document = {
        "id": service.id,
        "title": service.title,
        "description": service.description,
        "url": url,
        "type": service.type,
        "enabled": service.enabled,
        "created": instant(service.created),
        "costs": 0,
    }
    document |= {name: service.settings[name] for name in _SETTINGS if service.settings.get(name) is not None}
    if full:
        document |= {"process": service.process, "configuration": service.configuration, "attributes": {}}
    return {name: value for name, value in document.items() if value is not None}


def file_document(file: StoredFile) -> Document:
    """Return an uploaded file (schema `file`)."""
    return {"path": file.path, "size": file.size, "modified": instant(file.modified)}


def estimate_document(expected: Expected) -> Document:
    """Return an estimate; the engine charges nothing, and that much is always known. `gemel:plan` tells how it will run."""
    document: dict[str, Any] = {"costs": 0, "gemel:plan": expected.document()}
    if expected.seconds is not None:
        document["duration"] = f"PT{max(expected.seconds, 0.0):.3f}S"
    if expected.size is not None:
        document["size"] = expected.size
    return document
