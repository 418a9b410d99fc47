"""A training as a Slurm job: one script that holds the whole job and goes on where it was when it is queued again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gemel.base.errors import InvalidInput
from gemel.core.learn.training._launching import Job, job_document
from gemel.core.learn.training._settings import Settings

_END = "GEMEL_END_OF_JOB"
# The script itself runs on the first node, so a port that is free there is free where the processes meet.
_TEXT = """\
#!/bin/bash
{directives}
set -euo pipefail
mkdir -p {folder}
cat > {folder}/job.json <<'{end}'
{job}
{end}
FIRST=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_ADDR=$(scontrol -o show node "$FIRST" | sed 's/.* NodeAddr=\\([^ ]*\\).*/\\1/')
MASTER_PORT=$({python} -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
export MASTER_ADDR MASTER_PORT
srun --kill-on-bad-exit=1 {python} -m gemel.core.learn.training._worker {folder}
"""


def slurm_script(
    job: Job,
    settings: Settings,
    folder: Path,
    *,
    nodes: int = 1,
    tasks: int = 1,
    options: Mapping[str, str | int] | None = None,
) -> str:
    """Return the script of a Slurm job in which `tasks` processes on `nodes` nodes train together.

    The folder and this Python must be the same on all nodes. Submitted again, or queued again by Slurm, the training
    goes on from its last checkpoint; when one process dies, Slurm ends the others.

    Args:
        job: What is trained.
        settings: How; its `processes` become `tasks`.
        folder: Where checkpoint, curve and output lie, on a file system that all nodes share.
        nodes: How many.
        tasks: Processes over all nodes.
        options: Further options of sbatch, such as `{"time": "02:00:00", "gpus-per-task": 1}`.

    Raises:
        InvalidInput: The batch cannot be shared by that many, or there are fewer tasks than nodes.
    """
    settings = replace(settings, processes=tasks)
    settings.check()
    if not 1 <= nodes <= tasks:
        raise InvalidInput(f"{tasks} tasks cannot be spread over {nodes} nodes.")
    place = folder.resolve()
    given: dict[str, str | int] = {
        "job-name": place.name,
        "nodes": nodes,
        "ntasks": tasks,
        "output": f"{place}/slurm-%j.out",
        "open-mode": "append",
        **(options or {}),
    }
    directives = "\n".join([*(f"#SBATCH --{name}={value}" for name, value in given.items()), "#SBATCH --requeue"])
    return _TEXT.format(
        directives=directives,
        folder=shlex.quote(str(place)),
        job=job_document(job, settings),
        end=_END,
        python=shlex.quote(sys.executable),
    )
