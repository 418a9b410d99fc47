"""How outputs came to be: inputs with digests, command, exit code, host, times, and the job that the batch system knows."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gemel.base.clock import iso
from gemel.base.errors import InvalidInput
from gemel.base.ids import digest_json

_MOST = 100  # inputs that are told one by one; metadata that are sent to an engine have a limit
#: Members of the metadata, by the variables of Slurm (sbatch(1), output environment variables) that fill them.
_SLURM = {
    "SLURM_JOB_ID": "job",
    "SLURM_ARRAY_JOB_ID": "array_job",
    "SLURM_ARRAY_TASK_ID": "array_task",
    "SLURM_JOB_NAME": "job_name",
    "SLURM_JOB_PARTITION": "partition",
    "SLURM_CLUSTER_NAME": "cluster",
    "SLURM_RESTART_COUNT": "restarts",
}


@dataclass(frozen=True)
class Job:
    """A job between its inputs and its outputs.

    Attributes:
        inputs: Name, size and SHA-256 digest of each.
        started: When its first line ran (ISO 8601, UTC).
        host: Where.
        batch: What the batch system says.
        command: What ran.
        exit_code: How it ended; None for not yet.
        ended: When (ISO 8601, UTC).
    """

    inputs: Sequence[Mapping[str, Any]] = ()
    started: str = ""
    host: str = ""
    batch: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    exit_code: int | None = None
    ended: str | None = None

    @classmethod
    def beginning(cls, inputs: Sequence[Mapping[str, Any]], command: Sequence[str] = ()) -> Job:
        """Return a job that begins here and now."""
        batch = {name: os.environ[key] for key, name in _SLURM.items() if os.environ.get(key)}
        return cls(list(inputs), _now(), socket.gethostname(), batch, list(command))

    def ending(self, exit_code: int) -> Job:
        """Return it after its last line."""
        return replace(self, exit_code=exit_code, ended=_now())

    def document(self) -> dict[str, Any]:
        """Return it as JSON, for the metadata of outputs.

        Of very many inputs the first are told, how many there are, and the digest of the whole list in canonical JSON.
        """
        shown: dict[str, Any] = {"inputs": list(self.inputs[:_MOST]), "command": list(self.command), "host": self.host}
        if len(self.inputs) > _MOST:
            shown |= {"inputs_count": len(self.inputs), "inputs_sha256": digest_json(list(self.inputs))}
        shown |= {"started": self.started, "ended": self.ended, "exit_code": self.exit_code}
        return shown | ({"batch": dict(self.batch)} if self.batch else {})

    def kept(self, file: Path) -> None:
        """Write it to a file, for the end of the job."""
        file.write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Job:
        """Return the job that was kept in a file.

        Raises:
            InvalidInput: There is none.
        """
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(found, dict) or "started" not in found:
                raise ValueError("it tells of no beginning")
            return cls(**found)
        except (OSError, ValueError, TypeError) as error:
            raise InvalidInput(
                f"'{file}' is no record of a job: {error}.", hint="gemel data stage in --record"
            ) from error


def _now() -> str:
    return iso(datetime.now(UTC).replace(microsecond=0)) or ""
