"""Trains the flow of a specification: python -m gemel.thematic.lattice.flows SPEC.json -o FILE.npz."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from gemel.thematic.lattice.flows._evaluation import evaluate
from gemel.thematic.lattice.flows._spec import read_spec
from gemel.thematic.lattice.flows._training import load, save, train


def main(arguments: list[str] | None = None) -> None:
    """Train, judge and store a flow; its figures go to the standard output as JSON."""
    parser = argparse.ArgumentParser(prog="python -m gemel.thematic.lattice.flows", description=__doc__)
    parser.add_argument("spec", type=Path, help="JSON, TOML or YAML")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write (.npz)")
    parser.add_argument("--start", type=Path, help="trained flow to go on from")
    parser.add_argument("--folder", type=Path, help="for checkpoints and curves; an interrupted training goes on there")
    parser.add_argument("--samples", type=int, default=65536, help="of the evaluation; 0 for none")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    trained = train(read_spec(given.spec), given.folder, load(given.start) if given.start else None)
    save(trained, given.output)
    print(json.dumps(trained.record))
    if given.samples:
        span = trained.spec.span
        beta = (span[0] * span[1]) ** 0.5 if span else None
        print(json.dumps(evaluate(trained.proposal, trained.spec.target(beta), given.samples).document(), indent=1))


if __name__ == "__main__":
    main()
