"""A stand-in for a File Transfer Service (FTS3): the four REST calls that gemel makes; real copies between real servers.

No FTS server can be had from a package registry or from Debian. This one takes jobs in the form in which Rucio 41 sends
them to FTS (files with lists of sources, destinations and a token for each; parameters beside them) and has the
destination fetch each file.
"""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import uuid
from typing import Any

import httpx2


class FtsStandIn:
    """Jobs of one test.

    Attributes:
        jobs: As they were sent.
        broken: Reason with which jobs fail, when there is one.
    """

    def __init__(self, certificates: str) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.broken: str | None = None
        self._states: dict[str, tuple[str, str]] = {}
        self._certificates = certificates
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def submit(self, job: dict[str, Any]) -> dict[str, Any]:
        (file,) = job["files"]
        # The real service refuses lists of tokens that are not as long as those of addresses.
        assert len(file["source_tokens"]) == len(file["sources"]) == len(file["destination_tokens"]) == 1
        assert job["params"]["unmanaged_tokens"] is True
        id = str(uuid.uuid4())
        self.jobs[id] = job
        self._states[id] = ("SUBMITTED", "")
        threading.Thread(target=self._work, args=(id, file), daemon=True).start()
        return {"job_id": id}

    def state(self, id: str) -> dict[str, Any]:
        state, reason = self._states[id]
        return {"job_id": id, "job_state": state, "reason": reason, "files": [{"file_state": state, "reason": reason}]}

    def cancel(self, id: str) -> dict[str, Any]:
        self._states[id] = ("CANCELED", "")
        return {"job_id": id, "job_state": "CANCELED"}

    def _work(self, id: str, file: dict[str, Any]) -> None:
        self._states[id] = ("ACTIVE", "")
        if self.broken:
            self._states[id] = ("FAILED", self.broken)
            return
        headers = {
            "Authorization": f"Bearer {file['destination_tokens'][0]}",
            "TransferHeaderAuthorization": f"Bearer {file['source_tokens'][0]}",
            "Source": file["sources"][0],
            "Credential": "none",
            "Overwrite": "T",
        }
        trust = ssl.create_default_context(cafile=self._certificates)
        try:
            with httpx2.Client(verify=trust) as client:
                told = client.request("COPY", file["destinations"][0], headers=headers).text
            last = told.strip().splitlines()[-1]
        except Exception as error:  # whatever went wrong, the job has an end
            last = f"{type(error).__name__}: {error}"
        self._states[id] = ("FINISHED", "") if last.startswith("success") else ("FAILED", last)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: FtsStandIn

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(self.service.submit(body))

    def do_GET(self) -> None:
        self._answer(self.service.state(self.path.rpartition("/")[2]))

    def do_DELETE(self) -> None:
        self._answer(self.service.cancel(self.path.rpartition("/")[2]))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, document: dict[str, Any]) -> None:
        self.service.asked.append(self.command)
        content = json.dumps(document).encode()
        self.send_response(200 if self.headers.get("Authorization") == "Bearer fts-token" else 403)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
