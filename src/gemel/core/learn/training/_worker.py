"""One process of a training: `python -m gemel.core.learn.training._worker FOLDER`, told by its environment who it is."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from gemel.base.errors import GemelError
from gemel.core.graph import Cancelled
from gemel.core.learn.training._fit import fit
from gemel.core.learn.training._folder import replace
from gemel.core.learn.training._launching import CANCELLED, Job
from gemel.core.learn.training._settings import Settings
from gemel.core.learn.training._team import join, leave


def main(folder: Path) -> int:
    """Return the exit code of this process after its share of the training."""
    if os.environ.get("GEMEL_PARENT") == "stdin":
        threading.Thread(target=_die_with_parent, daemon=True).start()
    document = json.loads((folder / "job.json").read_text())
    job, settings = Job(**document["job"]), Settings.read(document["settings"])
    try:
        join()
        work = job.work(settings)
        fit(work.objective, work.batches, settings, seed=job.seed, folder=folder, evaluate=work.evaluate)
    except Cancelled:
        return CANCELLED
    except GemelError as error:
        rank = int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)
        replace(folder / f"worker-{rank}.error.json", json.dumps(error.document(), default=str))
        print(error, file=sys.stderr)
        return 1
    leave()
    return 0


def _die_with_parent() -> None:
    # The pipe ends when whoever started this process is gone, however it went; sys.stdin would keep a lock meanwhile.
    while os.read(0, 1024):
        continue
    os._exit(1)


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stderr.flush()
    # Threads of gloo may wait for partners that are gone; nothing is left to be done here.
    os._exit(code)
