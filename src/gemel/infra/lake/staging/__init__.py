"""Staging: inputs brought before a job's first line, outputs registered after its last, with how they came to be."""

from gemel.infra.lake.staging._lake import HomeLake, Known, StagingLake
from gemel.infra.lake.staging._pairs import In, Out
from gemel.infra.lake.staging._provenance import Job
from gemel.infra.lake.staging._run import run_staged
from gemel.infra.lake.staging._script import staged_script
from gemel.infra.lake.staging._stage import Staged, stage_in, stage_out

__all__ = [
    "HomeLake",
    "In",
    "Job",
    "Known",
    "Out",
    "Staged",
    "StagingLake",
    "run_staged",
    "stage_in",
    "stage_out",
    "staged_script",
]
