"""One JSON object a line: what was measured, beside what, and how far the rounds spread."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence


def report(bench: str, ours: Sequence[float], peer: Sequence[float], unit: str, peer_name: str, **more: object) -> None:
    """Print one result; `ours` and `peer` are the rounds of one run, and medians are what counts."""
    middle, other = statistics.median(ours), statistics.median(peer)
    document = {
        "bench": bench,
        "ours": round(middle, 6),
        "peer": round(other, 6),
        "ratio": round(middle / other, 4),
        "unit": unit,
        "peer_name": peer_name,
        "spread": {"ours": _spread(ours), "peer": _spread(peer)},
        **more,
    }
    print(json.dumps(document), flush=True)


def progress(text: str) -> None:
    """Say on standard error what is going on."""
    print(text, file=sys.stderr, flush=True)


def _spread(values: Sequence[float]) -> list[float]:
    return [round(min(values), 6), round(max(values), 6)]
