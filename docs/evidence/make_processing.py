"""Makes the figures of processing: runs the benches beside their peers, records them, and writes `docs/benchmarks.md`.

    python docs/evidence/make_processing.py             about ten minutes on two cores, the peers' environments included
    python docs/evidence/make_processing.py --tables    only the page again, from what was recorded

Each line of `processing.jsonl` is one JSON object with the command, date, machine and gemel version it was made with.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

COMMAND = "python docs/evidence/make_processing.py"
ROOT = Path(__file__).resolve().parents[2]
EVIDENCE = Path(__file__).with_name("processing.jsonl")
PAGE = ROOT / "docs" / "benchmarks.md"
BENCHES = ("climatology", "monthly-means", "beyond-memory", "regridding", "validation")
_INTRODUCTION = """# Measured beside others

Each line was measured in one run with its peer, in rounds that take turns; what counts are the ratios, since seconds differ from machine
to machine and from hour to hour. Processor time counts all threads. Data are generated and synthetic. This page is written by
`{command}`; `make bench` measures anew and prints one JSON object a line.

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
}


def measured() -> list[dict[str, Any]]:
    """Return what the benches print, with how it was made."""
    made = {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "gemel": version("gemel"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "bench", *BENCHES], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) | made for line in ended.stdout.splitlines()]


def page(lines: list[dict[str, Any]]) -> str:
    """Return the page of what was recorded."""
    first = lines[0]
    head = _INTRODUCTION.format(command=COMMAND, date=first["date"], version=first["gemel"], machine=first["machine"])
    return head + "".join(map(_row, lines))


def _row(line: dict[str, Any]) -> str:
    spreads = [f"{low:.3g} to {high:.3g}" for low, high in (line["spread"]["ours"], line["spread"]["peer"])]
    ours, unit = f"{line['ours']:.3g}", line["unit"]
    cells = (
        _TITLES[line["bench"]], f"{ours} {unit}", f"{line['peer_name']}: {line['peer']:.3g} {unit}",
        f"{line['ratio']:.2f}", line.get("bar", ""), *spreads,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    """Measure, record, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="only write the page anew")
    if not parser.parse_args().tables:
        EVIDENCE.write_text("".join(f"{json.dumps(line)}\n" for line in measured()), encoding="utf-8")
    lines = [json.loads(line) for line in EVIDENCE.read_text(encoding="utf-8").splitlines()]
    PAGE.write_text(page(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
