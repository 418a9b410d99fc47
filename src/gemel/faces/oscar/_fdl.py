"""Services in OSCAR's Function Definition Language and functions of the engine, one as the other.

Names and meanings of the fields are those of `types.Service` (grycap/oscar 4, `pkg/types/service.go`). What cannot be
honoured here is refused with its name, not ignored; a field that says nothing (false, zero, empty) is no request.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from gemel.base.errors import InvalidInput
from gemel.core.stream.functions import Deployment, FunctionSpec

IMAGES = (
    "",
    "gemel",
)  # the box of this engine: the system's programs and the engine's Python, nothing to write but one folder
OWNER = "cluster_admin"
_KEPT = "oscar"  # where the document stays among the function's notes
_TIMEOUT, _ATTEMPTS, _BACKOFF = 3600.0, 3, 0.5
_CPU = re.compile(r"(\d+(?:\.\d+)?)(m?)")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGTP]i?)?[bB]?")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_LEVELS = ("NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# Told by the engine: a client that sends back what it got may say them, as they are.
_READ_ONLY = ("token", "owner", "namespace", "volume_status", "deployment", "storage_providers")
_REFUSED: Mapping[str, str] = {
    "input": "no storage outside is watched; let the storage, or the lake, send its events to /job",
    "output": "results are not uploaded; they are the answer of /run",
    "storage_providers": "no storage outside is read or written",
    "file_stage_in": "no input is downloaded",
    "mount": "no storage is mounted",
    "volume": "nothing is kept between calls",
    "expose": "a service has no address of its own",
    "kserve": "there is no Kubernetes",
    "federation": "there are no other clusters",
    "clusters": "there are no other clusters",
    "interlink_node_name": "there is no Kubernetes",
    "enable_gpu": "no GPU is handed to a service",
    "enable_sgx": "there is no SGX",
    "image_prefetch": "there is no container engine",
    "image_pull_secrets": "there is no container engine",
    "alpine": "there is no container engine",
    "ephemeral_storage_request": "space on disk is not set aside",
    "vo": "this engine has one owner",
    "allowed_users": "this engine has one owner",
    "bucket_list": "there are no buckets",
    "token": "the engine chooses it",
    "owner": "this engine has one owner",
    "namespace": "there is no Kubernetes",
    "volume_status": "there are no volumes",
    "deployment": "it is told by the engine",
}
_HONOURED = (
    "name",
    "script",
    "image",
    "memory",
    "cpu",
    "total_memory",
    "total_cpu",
    "synchronous",
    "log_level",
    "environment",
    "cluster_id",
    "labels",
    "annotations",
    "visibility",
    "isolation_level",
)


def function_of(document: Any, known: Mapping[str, Any] | None = None) -> FunctionSpec:
    """Return the function that a service's definition asks for.

    `memory` bounds the address space of each process of a call. `cpu` is what a call is counted with: as many run at a
    time as the machine's cores, `total_cpu`, `total_memory` and `synchronous.max_scale` allow.

    Args:
        document: The definition.
        known: The service as it was last shown, whose fields that only the engine sets may come back as they are.

    Raises:
        InvalidInput: A field is unknown, wrong, or cannot be honoured here; all of them are named.
    """
    if not isinstance(document, Mapping):
        raise InvalidInput("The service specification is not valid: it is no JSON object.")
    problems = _unfit(document, known or {})
    values: dict[str, Any] = {}
    for name, read in _READERS.items():
        try:
            values[name] = read(document.get(name))
        except InvalidInput as error:
            problems.append(f"{name} ({error.message})")
    if problems:
        fields = [text.partition(" ")[0] for text in problems]
        raise InvalidInput(f"The service specification is not valid: {'; '.join(problems)}.", fields=fields)
    return _function(document, values)


def _function(document: Mapping[str, Any], values: Mapping[str, Any]) -> FunctionSpec:
    least, _ = values["synchronous"]
    concurrency = _concurrency(values)
    level = {"LOG_LEVEL": values["log_level"]} if values["log_level"] else {}
    told = {name: document[name] for name in _HONOURED if name in document and name not in ("name", "script")}
    return FunctionSpec(
        values["name"],
        script=values["script"],
        concurrency=concurrency,
        minimum=min(least, concurrency),
        timeout=_TIMEOUT,
        attempts=_ATTEMPTS,
        backoff=_BACKOFF,
        memory=values["memory"],
        environment=level | values["environment"],
        notes={_KEPT: told},
    )


def service_of(deployed: Deployment) -> dict[str, Any]:
    """Return a function as a service of OSCAR; one that runs a process has no script."""
    spec = deployed.spec
    kept: Mapping[str, Any] = spec.notes.get(_KEPT, {})
    plain: dict[str, Any] = {
        "name": spec.name,
        "cluster_id": "",
        "image": "gemel",
        "memory": "" if spec.memory is None else str(spec.memory),
        "cpu": "",
        "log_level": "INFO",
        "synchronous": {"min_scale": spec.minimum, "max_scale": spec.concurrency},
        "environment": {"variables": dict(spec.environment), "secrets": {}},
        "labels": {},
        "annotations": {},
        "visibility": "private",
        "isolation_level": "SERVICE",
    }
    fixed = {"script": spec.script or "", "token": deployed.token, "owner": OWNER}
    return plain | dict(kept) | fixed | {"input": [], "output": [], "storage_providers": {}}


def _unfit(document: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Return what asks for something that there is not, each with the reason."""
    found = []
    for name, value in document.items():
        if name in _HONOURED or (name in _REFUSED and _says_nothing(value)):
            continue
        if name in _READ_ONLY and name in known and value == known[name]:
            continue
        found.append(f"{name} ({_REFUSED.get(name, 'no such field')})")
    return found


def _says_nothing(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_says_nothing, value.values()))
    return all(map(_says_nothing, value)) if isinstance(value, list) else not value


def _concurrency(values: Mapping[str, Any]) -> int:
    cores, cpu, memory = float(os.cpu_count() or 1), values["cpu"], values["memory"]
    _, most = values["synchronous"]
    bounds = [64, most or 64]
    bounds += [math.floor(min(cores, values["total_cpu"] or cores) / cpu)] if cpu else []
    bounds += [math.floor(values["total_memory"] / memory)] if memory and values["total_memory"] else []
    return max(1, min(bounds))


def _name(value: Any) -> str:
    return FunctionSpec(value, process="any").name  # refuses what is no name


def _script(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput("it must be the text of a script")
    return value


def _image(value: Any) -> None:
    if value is not None and value not in IMAGES:
        raise InvalidInput("there is no container engine; the image 'gemel' is the box of this engine")


def _cpu(value: Any) -> float | None:
    if value in (None, ""):
        return None
    match = _CPU.fullmatch(str(value))
    cores = 0.0 if match is None else float(match.group(1)) / (1000 if match.group(2) else 1)
    if isinstance(value, bool) or cores <= 0:
        raise InvalidInput("it must be a number of cores, such as '0.5' or '500m'")
    if cores > (os.cpu_count() or 1):
        raise InvalidInput(f"this machine has {os.cpu_count()} cores")
    return cores


def _total_cpu(value: Any) -> float | None:
    # A bound above what there is bounds nothing.
    try:
        return _cpu(value)
    except InvalidInput as error:
        if "machine" in error.message:
            return None
        raise


def _memory(value: Any) -> int | None:
    if value in (None, ""):
        return None
    match = _MEMORY.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise InvalidInput("it must be an amount of memory, such as '512Mi' or '1G'")
    prefix = match.group(2) or ""
    size = int(float(match.group(1)) * (1024 if prefix.endswith("i") else 1000) ** _POWERS[prefix[:1]])
    if size < 64_000_000:
        raise InvalidInput("64 MB is the least")
    return size


def _scales(value: Any) -> tuple[int, int]:
    found = value or {}
    if not isinstance(found, Mapping) or not set(found) <= {"min_scale", "max_scale"}:
        raise InvalidInput("it must be an object of min_scale and max_scale")
    least, most = found.get("min_scale", 0), found.get("max_scale", 0)
    for number in (least, most):
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 64:
            raise InvalidInput("a scale is a whole number from 0 to 64")
    if most and least > most:
        raise InvalidInput("min_scale is more than max_scale")
    return least, most


def _level(value: Any) -> str:
    if value in (None, ""):
        return ""
    if not isinstance(value, str) or value.upper() not in _LEVELS:
        raise InvalidInput(f"it must be one of {', '.join(_LEVELS)}")
    return value.upper()


def _environment(value: Any) -> dict[str, str]:
    found = value or {}
    members = {str(name).lower(): item for name, item in found.items()} if isinstance(found, Mapping) else {"": found}
    if not set(members) <= {"variables", "secrets"}:
        raise InvalidInput("it must be an object of variables")
    if not _says_nothing(members.get("secrets")):
        raise InvalidInput("secrets are not kept safe here")
    variables = members.get("variables") or {}
    if not isinstance(variables, Mapping):
        raise InvalidInput("variables must be an object of names and texts")
    texts = {str(name): item if isinstance(item, str) else str(item) for name, item in variables.items()}
    return dict(FunctionSpec("any", process="any", environment=texts).environment)  # refuses names that are not free


def _texts(value: Any) -> None:
    right = value is None or (isinstance(value, Mapping) and all(isinstance(item, str) for item in value.values()))
    if not right:
        raise InvalidInput("it must be an object of texts")


def _one_of(*words: str) -> Callable[[Any], None]:
    def read(value: Any) -> None:
        if value is not None and (not isinstance(value, str) or value.lower() not in words):
            raise InvalidInput(f"here it is '{words[-1]}'")

    return read


def _cluster(value: Any) -> None:
    if value is not None and not isinstance(value, str):
        raise InvalidInput("it must be a text")


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "name": _name,
    "script": _script,
    "image": _image,
    "memory": _memory,
    "cpu": _cpu,
    "total_memory": _memory,
    "total_cpu": _total_cpu,
    "synchronous": _scales,
    "log_level": _level,
    "environment": _environment,
    "cluster_id": _cluster,
    "labels": _texts,
    "annotations": _texts,
    "visibility": _one_of("", "private"),
    "isolation_level": _one_of("", "service"),
}
