"""What the owner does: services, their jobs, and what the engine is."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from gemel.base.errors import Conflict, InvalidInput, NotFound, not_found
from gemel.core.stream.functions import Call
from gemel.faces.oscar._asked import Asked
from gemel.faces.oscar._fdl import function_of, service_of

_PAGE = 100
_STATES = {"queued": "Pending", "running": "Running", "finished": "Succeeded", "failed": "Failed"}
_NAMES = ("name", "namespace", "services_namespace")


def info(asked: Asked) -> Response:
    """Return what runs here."""
    about = {"version": f"gemel {version('gemel')}", "git_commit": "", "kubernetes_version": ""}
    backend = {"name": "gemel", "version": version("gemel")}
    return JSONResponse(about | {"architecture": platform.machine(), "serverless_backend": backend})


def config(asked: Asked) -> Response:
    """Return what a client may want to know of the cluster: there is no MinIO beside it."""
    told: dict[str, Any] = dict.fromkeys(_NAMES, "gemel")
    flags = ("gpu_available", "interLink_available", "yunikorn_enable", "kueue_enable", "volume_enable")
    told |= dict.fromkeys(flags, False)
    return JSONResponse(told | {"serverless_backend": "gemel", "oidc_groups": [], "minio_provider": None})


def status(asked: Asked) -> Response:
    """Return the machine as a cluster of one node, and how many calls wait and run."""
    found = asked.functions.status().values()
    pages, size = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    millis, total = 1000 * (os.cpu_count() or 1), os.sysconf("SC_PHYS_PAGES") * size
    busy = min(millis, int(1000 * os.getloadavg()[0]))
    cpu = {"total_free_cores": millis - busy, "max_free_on_node_cores": millis - busy}
    memory = {"total_free_bytes": pages * size, "max_free_on_node_bytes": pages * size}
    metrics = {"cpu": cpu, "memory": memory, "gpu": {"total_gpu": 0}}
    node = {
        "name": platform.node(),
        "cpu": {"capacity_cores": millis, "usage_cores": busy},
        "memory": {"capacity_bytes": total, "usage_bytes": total - pages * size},
        "gpu": 0,
        "is_interlink": False,
        "status": "Ready",
        "conditions": [],
    }
    jobs = {name: sum(item[state] for item in found) for state, name in _STATES.items()}
    cluster = {"nodes_count": 1, "metrics": metrics, "nodes": [node]}
    return JSONResponse({"cluster": cluster, "oscar": {"jobs_count": jobs}, "minio": {}})


def services(asked: Asked) -> Response:
    """Return every service."""
    return JSONResponse([service_of(item) for item in asked.functions.list()])


def service(asked: Asked) -> Response:
    """Return a service with its token."""
    return JSONResponse(service_of(asked.functions.get(asked.name)))


def create(asked: Asked) -> Response:
    """Deploy a service."""
    asked.functions.deploy(function_of(_document(asked)))
    return Response(status_code=201)


def update(asked: Asked) -> Response:
    """Change a service; its token stays."""
    document = _document(asked)
    name = str(document.get("name") or "") if isinstance(document, dict) else ""
    known = asked.functions.get(name)
    if known.spec.script is None:
        raise Conflict(f"'{name}' runs a process, which OSCAR's definitions cannot say.", hint="gemel function deploy")
    asked.functions.update(function_of(document, service_of(known)))
    return Response(status_code=204)


def remove(asked: Asked) -> Response:
    """Forget a service and its jobs."""
    asked.functions.remove(asked.name)
    return Response(status_code=204)


def jobs(asked: Asked) -> Response:
    """Return a page of a service's jobs, the newest first."""
    asked.functions.get(asked.name)
    offset = _offset(asked)
    found = list(asked.functions.calls(asked.name, limit=_PAGE + 1, offset=offset))
    page: dict[str, Any] = {"jobs": {call.id: _job(call) for call in found[:_PAGE]}}
    if len(found) > _PAGE:
        counts = asked.functions.status()[asked.name]
        left = sum(counts[state] for state in _STATES) - offset - _PAGE
        page |= {"next_page": str(offset + _PAGE), "remaining_jobs": max(0, left)}
    return JSONResponse(page)


def remove_jobs(asked: Asked) -> Response:
    """Forget the jobs of a service that ended well, or with `all=true` every one."""
    asked.functions.forget(asked.name, all=asked.query.get("all", "").lower() in ("1", "t", "true"))
    return Response(status_code=204)


def logs(asked: Asked) -> Response:
    """Return what a job printed, and how it failed."""
    call = _call(asked)
    text = asked.functions.logs(call.id)
    if call.error is not None:
        text += f"{'' if text.endswith(chr(10)) or not text else chr(10)}{call.error['message']}\n"
    return PlainTextResponse(text)


def remove_job(asked: Asked) -> Response:
    """Forget a job."""
    asked.functions.forget(asked.name, _call(asked).id)
    return Response(status_code=204)


def _call(asked: Asked) -> Call:
    call = asked.functions.call(asked.path["job"])
    if call.function != asked.name:
        raise not_found(f"job of service '{asked.name}'", call.id, ())
    return call


def _job(call: Call) -> dict[str, Any]:
    times = {"creation_time": call.created, "start_time": call.started, "finish_time": call.ended}
    shown = {name: _instant(seconds) for name, seconds in times.items() if seconds is not None}
    return {"status": _STATES[call.state], **shown}


def _instant(seconds: float) -> str:
    # As Kubernetes writes it (RFC 3339, whole seconds), which clients read with a fixed pattern.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _offset(asked: Asked) -> int:
    text = asked.query.get("page", "")
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise NotFound(f"There is no page '{text[:40]}'.")
    return int(text)


def _document(asked: Asked) -> Any:
    try:
        return json.loads(asked.body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The service specification is not valid: it is no JSON.") from error
