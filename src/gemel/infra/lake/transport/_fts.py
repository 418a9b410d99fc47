"""File Transfer Service (FTS3, REST): a service that copies from server to server and retries by itself.

The form of jobs is that of FTS 3.12 and later with a token per file and side. Tokens are sent `unmanaged`: the service
uses them as they are and does not exchange them, so both issuers stay in gemel's hands.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx2

from gemel.base.errors import Denied, GemelError, StoreUnavailable, Unauthenticated
from gemel.infra.lake.storages import HttpStorage, WebdavStorage, revealed
from gemel.infra.lake.transport._hashing import Progress
from gemel.infra.lake.transport._leg import Arrived, Leg, WayClosed
from gemel.infra.lake.transport._third_party import compared, facts

_POLL_SECONDS = (0.2, 10.0)  # at first, and at most: doubled while a job goes on
_OVER = ("FINISHED", "FINISHEDDIRTY", "FAILED", "CANCELED")
_STALLED_SECONDS = 6 * 3600.0


class Fts:
    """Copies by the service that the destination was declared with."""

    name = "fts"

    def reason(self, leg: Leg) -> str | None:
        """Return that the destination names a service, when it does and both sides speak HTTP."""
        if (
            not isinstance(leg.target, WebdavStorage)
            or leg.target.fts is None
            or not isinstance(leg.source, HttpStorage)
        ):
            return None
        return f"'{leg.target.name}' is served by the transfer service {leg.target.fts[0]}"

    def carry(self, leg: Leg, progress: Progress) -> Arrived:
        """Return what arrived, after the destination told its digest or was read back."""
        target = leg.target
        assert isinstance(target, WebdavStorage)
        assert target.fts is not None
        sightings, size = facts(leg)
        with target.staged(leg.target_path) as staging, _Service(leg.target.name, *target.fts) as service:
            job = service.submit(_job(leg, staging, size, sightings.expected))
            try:
                service.follow(job, progress)
            except BaseException:
                service.cancel(job)
                raise
            return compared(leg, staging, sightings, size, progress)


class _Service:
    def __init__(self, storage: str, address: str, token: str | None) -> None:
        self._storage, self._token = storage, token
        self._http = httpx2.Client(base_url=address, timeout=httpx2.Timeout(60.0, connect=10.0))

    def __enter__(self) -> _Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, job: Mapping[str, Any]) -> str:
        return str(self._asked("POST", "/jobs", job).get("job_id", ""))

    def follow(self, job: str, progress: Progress) -> None:
        """Return once a job is done."""
        pause, until = _POLL_SECONDS[0], time.monotonic() + _STALLED_SECONDS
        while time.monotonic() < until:
            found = self._asked("GET", f"/jobs/{job}")
            files = found.get("files") or [{}]
            progress(int(files[0].get("transferred") or 0))
            if found.get("job_state") == "FINISHED":
                return
            if found.get("job_state") in _OVER:
                why = found.get("reason") or files[0].get("reason") or found["job_state"]
                raise WayClosed(f"the transfer service ended job {job}: {str(why)[:300]}", seconds=60)
            threading.Event().wait(pause)
            pause = min(2 * pause, _POLL_SECONDS[1])
        raise StoreUnavailable(f"The transfer service did not end job {job} in {_STALLED_SECONDS / 3600:g} h.")

    def cancel(self, job: str) -> None:
        try:
            self._asked("DELETE", f"/jobs/{job}")
        except (GemelError, WayClosed):
            return

    def _asked(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        token = {"Authorization": f"Bearer {revealed(self._storage, self._token)}"} if self._token else {}
        try:
            answer = self._http.request(method, path, json=body, headers=token)
            document = answer.json() if answer.is_success else {}
        except (httpx2.HTTPError, ValueError) as error:
            reason = str(error).rstrip(".") or type(error).__name__
            raise WayClosed(f"the transfer service cannot be reached ({reason})", seconds=60) from error
        if answer.status_code in (401, 403):
            kind = Unauthenticated if answer.status_code == 401 else Denied
            raise kind(f"The transfer service of storage '{self._storage}' denies access.", hint="Is fts_token right?")
        if not answer.is_success or not isinstance(document, dict):
            raise WayClosed(f"the transfer service answers with status {answer.status_code}", seconds=60)
        return document


def _job(leg: Leg, staging: str, size: int, digests: Mapping[str, str]) -> dict[str, Any]:
    assert isinstance(leg.source, HttpStorage)
    assert isinstance(leg.target, HttpStorage)
    file: dict[str, Any] = {"sources": [leg.source.url(leg.source_path)], "destinations": [leg.target.url(staging)]}
    file["filesize"] = size
    if "adler32" in digests:
        file["checksum"] = f"ADLER32:{digests['adler32']}"
    tokens = {
        "source_tokens": _bearer(leg.source.authorisation("read", leg.source_path)),
        "destination_tokens": _bearer(leg.target.authorisation("write", staging)),
    }
    params: dict[str, Any] = {
        "overwrite": True,
        "retry": 0,
        "verify_checksum": "both" if "checksum" in file else "none",
    }
    if all(tokens.values()):
        # The service takes lists of tokens only when they are as long as those of addresses.
        file |= {name: [value] for name, value in tokens.items()}
        params["unmanaged_tokens"] = True
    return {"files": [file], "params": params}


def _bearer(headers: Mapping[str, str]) -> str:
    return headers.get("Authorization", "").removeprefix("Bearer ")
