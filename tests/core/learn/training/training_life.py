"""Trainings that may be killed at any moment, forked from a process that has imported everything."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import torch
from training_stage import weights_of, work

from gemel.base.errors import GemelError
from gemel.core.learn.training import Settings, fit
from zygote import serve


def live(folder: str, settings: str, options: str, most: str) -> None:
    """Train in a folder and tell in `FOLDER.json` how it went or failed; no file may be larger than `most` bytes."""
    torch.set_num_threads(1)
    told = Settings.read(json.loads(settings))
    parts = work(told, **json.loads(options))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), limit[1]))
    try:
        outcome = fit(parts.objective, parts.batches, told, folder=Path(folder), evaluate=parts.evaluate)
        ended = {"curve": outcome.curve, "resumed": outcome.resumed_from, "weights": weights_of(parts)}
    except GemelError as error:
        ended = error.document()
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    Path(f"{folder}.json").write_text(json.dumps(ended))


if __name__ == "__main__":
    serve(live)
