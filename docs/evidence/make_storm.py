"""Kills engine, broker and consumer two hundred times at random during a replay, counts, and writes `storm.jsonl`.

    python docs/evidence/make_storm.py

The observations are synthetic; the NATS server, the SQLite store and the kills (SIGKILL) are real.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "tests" / "faults"))

from storm import Storm  # noqa: E402

EVIDENCE = HERE / "storm.jsonl"
COMMAND = "python docs/evidence/make_storm.py"
KILLS, OBSERVATIONS, SEED = 200, 700, 20261122


def main() -> None:
    """Make one storm and write what was found; exit code 1 when something was lost or doubled."""
    with tempfile.TemporaryDirectory(prefix="gemel-storm-") as folder:
        found = Storm(Path(folder, "storm"), f"sqlite:///{folder}/storm.db", KILLS, OBSERVATIONS, SEED).run()
    line = {
        "figure": "storm",
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "gemel": version("gemel"),
        "data": "synthetic",
        "load": round(os.getloadavg()[0], 1),
        **dataclasses.asdict(found),
    }
    EVIDENCE.write_text(json.dumps(line) + "\n")
    print(json.dumps(line, indent=1))
    sys.exit(bool(found.wrong))


if __name__ == "__main__":
    main()
