"""Makes the figures in the card of the lattice twin: trains its flows with fresh seeds, measures, writes the tables.

    python docs/evidence/make_lattice.py             about fifteen minutes on one core
    python docs/evidence/make_lattice.py --tables    only the tables again, from what was recorded

The seeds are not those of the flows that come with gemel. Each line of `lattice.jsonl` is one JSON object with the
command, date, gemel version and seed it was made with; seconds are of CPU, on one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gemel.thematic import lattice
from gemel.thematic.lattice.flows import evaluate, load, shipped, train
from gemel.twins.lattice import _flows, twin

Line = dict[str, Any]

COMMAND = "python docs/evidence/make_lattice.py"
EVIDENCE = Path(__file__).with_name("lattice.jsonl")
CARD = Path(__file__).resolve().parents[2] / "src/gemel/twins/lattice/README.md"
SEEDS = (11, 12, 13)
_SAMPLES = 65536
_OBSERVABLES = {"u1": ("plaquette", "charge_squared"), "phi4": ("susceptibility",)}


def flows() -> Iterator[Line]:
    """Yield lines on flows that are trained now, and on the reference of those that have no exact one."""
    reference = _phi4_reference()
    yield {"figure": "hmc", "of": "phi4_8x8", "seed": 0, "susceptibility": list(reference)}
    for seed in SEEDS:
        started: dict[str, Any] = {}
        for name, before in (("u1_L8_b2", None), ("u1_L16_b5", "u1_L8_b2"), ("phi4_8x8", None)):
            spec = dataclasses.replace(load(shipped()[name]).spec, seed=seed)
            started[name] = train(spec, start=started.get(before) if before else None)
            yield from _judged(name, started[name], seed, reference)


def conditional() -> Iterator[Line]:
    """Yield lines on the flow for a range of couplings that comes with gemel, beside its prior, which is not trained."""
    trained = load(shipped()["u1_L16_b2to7"])
    for beta in (2.0, 3.0, 5.0, 7.0):
        found = evaluate(trained.proposal, trained.spec.target(beta), 16384, 1)
        angles, log_q = lattice.prior_plaquettes(beta, (16, 16), 16384, np.random.default_rng(1))
        bare = lattice.log_weights(beta * np.cos(angles).sum(axis=(1, 2)), log_q)
        told = {
            "ess": found.effective,
            "acceptance": found.acceptance,
            "prior_ess": lattice.effective_sample_size(bare),
        }
        seconds = _flows.training_seconds(trained.record)
        yield {
            "figure": "conditional",
            "beta": beta,
            "seed": 1,
            "samples": 16384,
            "training_cpu_seconds": seconds,
        } | told


def topology() -> Iterator[Line]:
    """Yield a line for each way to the topological charge."""
    rows = twin.topology_of.function(twin.shipped_flow.function("u1_L16_b5"), 1)
    yield from ({"figure": "topology", "seed": 1, **row} for row in rows)


def transition() -> Iterator[Line]:
    """Yield the line on the transition of the scalar field."""
    yield {"figure": "transition", "seed": 1, **twin.transition_of.function(twin.mass_scan.function(1))}


PARTS = {"flows": flows, "conditional": conditional, "topology": topology, "transition": transition}


def _judged(name: str, trained: Any, seed: int, reference: tuple[float, float]) -> Iterator[Line]:
    """Yield a line for a flow alone, and one for its mixture with the prior where it is made for one."""
    seconds = _flows.training_seconds(trained.record)
    for kind, proposal in (("flow", trained.flow), ("mixture", trained.proposal)):
        if kind == "mixture" and proposal is trained.flow:
            continue
        found = evaluate(proposal, trained.spec.target(), _SAMPLES, seed + 1000)
        line = {"figure": "flow", "of": name, "kind": kind, "seed": seed, "training_cpu_seconds": seconds}
        line |= {"samples": found.samples, "ess": found.effective, "acceptance": found.acceptance}
        line |= {"longest_rejection": found.longest_rejection, "sampling_cpu_seconds": found.seconds}
        for observable in _OBSERVABLES[trained.spec.theory]:
            estimate = found.metropolis[observable]
            exact, error = (found.exact[observable], 0.0) if found.exact else reference
            away = abs(estimate.value - exact) / np.hypot(estimate.error, error)
            line[observable] = {"value": estimate.value, "error": estimate.error, "tau": estimate.tau}
            line[observable] |= {"reference": exact, "away": float(away)}
        yield line


def _phi4_reference() -> tuple[float, float]:
    spec = load(shipped()["phi4_8x8"]).spec
    chains = lattice.phi4_hmc.function(spec.mass_squared, spec.coupling, spec.extent, 4000, 64, 300, 0, "omelyan")
    found = lattice.gamma_method(np.asarray(chains["magnetisation_squared"], dtype=np.float64))
    return spec.extent**2 * found.value, spec.extent**2 * found.error


def read() -> list[Line]:
    """Return what was recorded."""
    return [json.loads(line) for line in EVIDENCE.read_text(encoding="utf-8").splitlines()]


def blocks(lines: list[Line]) -> dict[str, str]:
    """Return the tables of the card by the names of their places."""
    return {
        "flows": _flow_table(lines),
        "conditional": _conditional_table(lines),
        "topology": _topology_table(lines),
        "transition": _transition(lines),
    }


def _flow_table(lines: list[Line]) -> str:
    head = "| flow | proposal | training, CPU s | effective samples | acceptance | longest rejection | standard errors from the reference |"
    rows = [head, "| --- | --- | --- | --- | --- | --- | --- |"]
    for name in ("u1_L8_b2", "u1_L16_b5", "phi4_8x8"):
        for kind in ("flow", "mixture"):
            found = [line for line in lines if line["figure"] == "flow" and (line["of"], line["kind"]) == (name, kind)]
            if found:
                rows.append(_flow_row(name, kind, found))
    return "\n".join(rows)


def _flow_row(name: str, kind: str, found: list[Line]) -> str:
    away = [line[key]["away"] for line in found for key in line if isinstance(line[key], dict) and "away" in line[key]]
    spans = [
        _span(found, key, form)
        for key, form in (("training_cpu_seconds", ".0f"), ("ess", ".3f"), ("acceptance", ".3f"))
    ]
    longest = max(line["longest_rejection"] for line in found)
    told = "alone" if kind == "flow" else "mixed with the prior"
    return f"| `{name}` | {told} | {' | '.join(spans)} | {longest} | at most {max(away):.1f} |"


def _span(found: list[Line], key: str, form: str) -> str:
    values = [line[key] for line in found]
    return f"{min(values):{form}} to {max(values):{form}}"


def _conditional_table(lines: list[Line]) -> str:
    rows = [
        "| β | effective samples | acceptance | effective samples of the prior alone |",
        "| --- | --- | --- | --- |",
    ]
    for line in lines:
        if line["figure"] == "conditional":
            rows.append(
                f"| {line['beta']:g} | {line['ess']:.3f} | {line['acceptance']:.3f} | {line['prior_ess']:.3f} |"
            )
    return "\n".join(rows)


def _topology_table(lines: list[Line]) -> str:
    head = "| way | ⟨Q²⟩ | τ | independent samples a CPU second | the flow is repaid after |"
    rows = [head, "| --- | --- | --- | --- | --- |"]
    for line in lines:
        if line["figure"] == "topology":
            after = line.get("flow_repaid_after")
            told = "" if line["way"].startswith("flow") else "never" if after is None else f"{after:,.0f} samples"
            tau = f"{line['tau']:.2f}" if line["converged"] else f"at least {line['tau']:.0f}"
            value = f"{line['charge_squared']:.3f} ± {line['error']:.3f}"
            rows.append(f"| {line['way']} | {value} | {tau} | {line['independent_per_second']:,.0f} | {told} |")
    return "\n".join(rows)


def _transition(lines: list[Line]) -> str:
    (found,) = [line for line in lines if line["figure"] == "transition"]
    told = [
        f"{pair}: m² = {item['mass_squared']:.4f} ± {item['error']:.4f}, U = {item['cumulant']:.3f}"
        for pair, item in found["crossings"].items()
    ]
    return f"Binder cumulants cross at {'; '.join(told)}. Published for infinite volume: m² = {found['published_mass']}, U = {found['published_cumulant']}."


def written(card: str, parts: dict[str, str]) -> str:
    """Return the card with its tables replaced."""
    for name, text in parts.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.S)
        card = place.sub(lambda found, text=text: found[1] + text + found[2], card)
    return card


def main() -> None:
    """Measure what is wanted, and write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="only the tables again")
    parser.add_argument("--only", choices=PARTS, help="measure one part; the others stay as they were recorded")
    given = parser.parse_args()
    if not given.tables:
        torch.set_num_threads(1)
        record([given.only] if given.only else list(PARTS))
    CARD.write_text(written(CARD.read_text(encoding="utf-8"), blocks(read())), encoding="utf-8")


def record(parts: list[str]) -> None:
    """Measure some parts, and put their lines in the place of those that were there."""
    made = {"command": COMMAND, "date": datetime.now(UTC).date().isoformat(), "gemel": version("gemel")}
    figures = {"flows": ("flow", "hmc")}
    replaced = {figure for part in parts for figure in figures.get(part, (part,))}
    lines = [line for line in read() if line["figure"] not in replaced] if EVIDENCE.exists() else []
    for part in parts:
        for line in PARTS[part]():
            lines.append(line | made)
            print(json.dumps(lines[-1]), flush=True)
    EVIDENCE.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
