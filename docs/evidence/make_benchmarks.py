"""Runs the benches beside their peers, records what they say, and writes `docs/benchmarks.md`.

    python docs/evidence/make_benchmarks.py                about half an hour on two cores, the peers' environments included
    python docs/evidence/make_benchmarks.py --only lake    one group; the others stay as they were recorded
    python docs/evidence/make_benchmarks.py --tables       only the page again, from what was recorded

Each line of `processing.jsonl`, `lake.jsonl`, `streams.jsonl` and `learning.jsonl` is one JSON object with the command, date, machine and gemel version it was made with.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

COMMAND = "python docs/evidence/make_benchmarks.py"
ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent
PAGE = ROOT / "docs" / "benchmarks.md"
GROUPS = {
    "processing": ("climatology", "monthly-means", "beyond-memory", "regridding", "validation"),
    "lake": ("ingest", "two-token-copy", "stac", "small-files"),
    "streams": ("events", "windows", "state", "triggers"),
    "learning": ("training", "serving", "distributed"),
}
_HEADINGS = {"processing": "Processing", "lake": "Data lake", "streams": "Streams", "learning": "Learning"}
# Bars of the project that a bench does not print by itself.
_BARS = {
    "ingest": ">= 0.9",
    "two-token-copy": "<= 1.05",
    "stac-search-pgstac": "<= 0.010 s",
    "training": "<= 1.03",
}
_INTRODUCTION = """# Measured beside others

Each line was measured in one run with its peer, in rounds that take turns; what counts are the ratios, since seconds differ from machine
to machine and from hour to hour. Processor time counts all threads. Data are generated and synthetic. This page is written by
`{command}`; `make bench` measures anew and prints one JSON object a line.
"""
_SECTION = """
## {heading}

Made on {date} with gemel {version}, {machine}.

| what | gemel | beside | ratio | bar | spread of ours | spread of the peer |
| --- | --- | --- | --- | --- | --- | --- |
"""
_TITLES = {
    "climatology-chain-beside-numpy": "climatology, anomaly, monthly mean, 2 × 2 block mean of 1.15 GB",
    "climatology-chain-beside-xarray": "the same",
    "climatology-chain-beside-decode": "the same",
    "monthly-means": "monthly means of 1.15 GB",
    "cube-beyond-memory": "the chain on a cube of 10.3 GB, memory at its peak",
    "regrid-again-nearest": "1 million cells to 32,000, nearest, again",
    "regrid-again-bilinear": "bilinear, again",
    "regrid-again-conservative": "conservative, again",
    "validate-1000-nodes": "validation of a graph of 1,000 nodes",
    "ingest": "512 MB into the lake, adler32 and sha256, synced to the disk",
    "two-token-copy": "1 GB from XRootD to XRootD, a token for each: the COPY itself",
    "two-token-copy-compared": "the same, with all that proves it arrived",
    "events-rate": "events of 1 kB from one process to another, durable, acknowledged, in a group",
    "events-p50": "the same at 500 a second: middle latency",
    "events-p99": "99th percentile",
    "windows": "ten streams of 16 kHz samples, aligned in windows of a second",
    "state-p50": "from an observation that is sent to the state that has it: middle",
    "state-p99": "99th percentile",
    "triggers": "10,000 causes, each with its run, none missing or double",
    "training": "3,000 steps of a network with three hidden layers of 256, batch 256, through the engine",
    "serving-event": "one answer of that network",
    "serving-batch": "50,000 answers at once",
    "distributed": "the same network on two processes (gloo), batch 1,024: higher is better",
    "stac-search": "box and month in 100,000 items over HTTP, a page of 50",
    "stac-search-pgstac": "the same",
    "stac-load": "loading the 100,000 items",
    "small-files": "10,000 small files listed, registered and found",
}


def measured(benches: Sequence[str]) -> list[dict[str, Any]]:
    """Return what the benches print, with how it was made."""
    made = {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "gemel": version("gemel"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "bench", *benches], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) | made for line in ended.stdout.splitlines()]


def page() -> str:
    """Return the page of what was recorded."""
    return _INTRODUCTION.format(command=COMMAND) + "".join(
        _section(group) for group in GROUPS if _evidence(group).exists()
    )


def _section(group: str) -> str:
    lines = [json.loads(line) for line in _evidence(group).read_text(encoding="utf-8").splitlines()]
    first = lines[0]
    facts = {"date": first["date"], "version": first["gemel"], "machine": first["machine"]}
    return _SECTION.format(heading=_HEADINGS[group], **facts) + "".join(map(_row, lines))


def _row(line: dict[str, Any]) -> str:
    spreads = [f"{low:.3g} to {high:.3g}" for low, high in (line["spread"]["ours"], line["spread"]["peer"])]
    ours, unit = f"{line['ours']:.3g}", line["unit"]
    synced = f", synced each {line['ours_synced']}" if "ours_synced" in line else ""
    cells = (
        _TITLES[line["bench"]], f"{ours} {unit}{synced}", f"{line['peer_name']}: {line['peer']:.3g} {unit}",
        f"{line['ratio']:.2f}", line.get("bar") or _BARS.get(line["bench"], ""), *spreads,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def _evidence(group: str) -> Path:
    return FOLDER / f"{group}.jsonl"


def main() -> None:
    """Measure, record, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=GROUPS, help="measure one group")
    parser.add_argument("--tables", action="store_true", help="only write the page anew")
    given = parser.parse_args()
    for group in [] if given.tables else [given.only] if given.only else GROUPS:
        lines = measured(GROUPS[group])
        _evidence(group).write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
