"""Makes the figures in the card of the early-warning twin: checks them anew, records them, writes the card's tables.

    python docs/evidence/make_earlywarning.py             about three minutes on two cores
    python docs/evidence/make_earlywarning.py --tables    only the tables again, from what was recorded

Everything is computed in an empty home folder unless `--home` names another. Each line of `earlywarning.jsonl` is one
JSON object with the command, date, gemel version and seeds it was made with.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import gemel
from gemel.thematic import hydro

Line = dict[str, Any]

COMMAND = "python docs/evidence/make_earlywarning.py"
ROOT = Path(__file__).resolve().parents[2]
EVIDENCE = Path(__file__).with_name("earlywarning.jsonl")
TWIN = ROOT / "src/gemel/twins/earlywarning"
CARD = TWIN / "README.md"
# Five, as in the twin's own rotation over splits.
SEEDS = (0, 1, 2, 3, 4)
_SPREAD_OF = ("nse", "skill_persistence", "skill_climate", "coverage_90", "coverage_50")
# Six of ten years fit the index, the other four test it.
_SPI_YEARS, _SPI_OTHERS = "1979/1984", "1985/1988"


def measure(home: Path) -> list[Line]:
    """Return all lines of evidence, measured by an engine at `home`."""
    with gemel.connect(home=home) as engine:
        twin = engine.twins["earlywarning"]
        report = twin.check()
        figures = engine.run(report["run"]).outputs["figures"].to_json()
        model = twin.run("train").watch().result.to_xarray()
        issued = twin.run("forecast").watch()
        doubt = issued.explain()["doubt"]
    settings = manifest()["settings"]
    lines: list[Line] = [_check(item) for item in report["checks"] if item["id"] != "card-complete"]
    lines += [{"figure": "model", "of": name, **figures[name]} for name in ("process", "hybrid")]
    lines += [
        {"figure": "filter", "of": "Fulda", "surprise": figures["filter"]["surprise"]},
        {"figure": "filter", "of": "second basin", "surprise": figures["filter"]["second"]},
    ]
    lines += _splits(figures["rotation"])
    lines += _leads("Fulda", figures["forecast"], _seeded(model, settings["test"]))
    lines += _leads("second basin", figures["second"], {})
    lines += _reliability(figures["reliability"])
    lines += [_doubt(doubt, settings["issued"]), _levels(settings["train"]), _spi()]
    common = {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "gemel": version("gemel"),
        "twin": f"earlywarning {report['version']}",
        "data": f"spotpy {version('spotpy')}",
    }
    return [{"seed": 0} | line | common for line in lines]


def manifest() -> dict[str, Any]:
    """Return what `twin.toml` says."""
    return tomllib.loads((TWIN / "twin.toml").read_text(encoding="utf-8"))


def _check(item: Line) -> Line:
    kept = ("id", "title", "passed", "value", "comparison", "bar", "unit")
    return {"figure": "check", **{name: item[name] for name in kept}}


def _splits(rotation: Line) -> Iterator[Line]:
    gains = np.reshape(rotation["gain"], (len(rotation["splits"]), -1)).tolist()
    for name, gain in zip(rotation["splits"], gains, strict=True):
        spread = {"mean": statistics.mean(gain), "sd": statistics.stdev(gain), "least": min(gain)}
        yield {"figure": "split", "split": name, "seed": list(range(len(gain))), "gain_nse": gain, **spread}


def _seeded(model: Any, test: str) -> dict[str, np.ndarray]:
    # The twin's own figures are those of seed 0; other seeds say how much of them is chance of filter and weather.
    record = hydro.packaged_record("fulda")
    made = [hydro.validate(record, model, test, seed=seed) for seed in SEEDS]
    return {name: np.stack([figures[name].values for figures in made]) for name in _SPREAD_OF}


def _leads(basin: str, figures: Line, seeded: dict[str, np.ndarray]) -> Iterator[Line]:
    names = [name for name, values in figures.items() if isinstance(values, list) and name != "lead_days"]
    for index, lead in enumerate(figures["lead_days"]):
        line = {"figure": "lead", "basin": basin, "lead_days": lead} | {name: figures[name][index] for name in names}
        if seeded:
            spread = {name: [float(v[:, index].min()), float(v[:, index].max())] for name, v in seeded.items()}
            line |= {"spread": spread, "spread_seeds": list(SEEDS)}
        yield line


def _reliability(bins: Line) -> Iterator[Line]:
    for forecast, observed, count in zip(bins["forecast"], bins["observed"], bins["count"], strict=True):
        yield {"figure": "reliability", "forecast": forecast, "observed": observed, "count": int(count)}


def _doubt(view: Line, issued: str) -> Line:
    shares = {item["origin"]: item["by_lead"] for item in view["items"]}
    return {"figure": "doubt", "issued": issued, "lead_days": view["lead_days"], "share": shares}


def _levels(years: str) -> Line:
    found = hydro.return_levels(hydro.packaged_record("fulda"), years)
    rows = [
        {"return_period": float(period), **{name: float(found[name].sel(return_period=period)) for name in found}}
        for period in found["return_period"].values
    ]
    return {"figure": "levels", "years": years, "maxima": found.attrs["years"], "levels": rows, "unit": "m3 s-1"}


def _spi() -> Line:
    index = hydro.spi(hydro.packaged_record("fulda")["precipitation"], scale=3, calibration=_SPI_YEARS)
    first, last = _SPI_OTHERS.split("/")
    values = index.sel(time=slice(first, last)).values
    values = values[np.isfinite(values)]
    found = {"months": int(values.size), "mean": float(values.mean()), "sd": float(values.std())}
    return {"figure": "spi-3", "calibration": _SPI_YEARS, "tested": _SPI_OTHERS, "seed": None, **found}


def read() -> list[Line]:
    """Return the recorded lines."""
    return [json.loads(text) for text in EVIDENCE.read_text(encoding="utf-8").splitlines()]


def blocks(lines: Sequence[Line]) -> dict[str, str]:
    """Return the card's generated parts (Markdown) by name."""
    return {
        "made": _made(lines),
        "parameters": _parameters(),
        "checks": _checks(lines),
        "models": _model_table(lines),
        "splits": _split_table(lines),
        "filter": _filter_sentence(lines),
        "leads": _lead_table([line for line in lines if line.get("basin") == "Fulda"]),
        "second": _lead_table([line for line in lines if line.get("basin") == "second basin"]),
        "reliability": _reliability_table(lines),
        "doubt": _doubt_table(lines),
        "levels": _level_table(lines),
        "spi": _spi_sentence(lines),
    }


def written(card: str, parts: dict[str, str]) -> str:
    """Return the card with each part between its markers, ``[//]: # (made: NAME)`` and ``[//]: # (end)``.

    These are link definitions that nothing uses: unlike HTML comments, they stay invisible where HTML is shown as text.
    """
    for name, text in parts.items():
        marked = re.compile(rf"(\[//\]: # \(made: {name}\)\n\n).*?(\n\n\[//\]: # \(end\))", re.DOTALL)
        card, count = marked.subn(lambda found, text=text: found[1] + text + found[2], card)
        if count != 1:
            raise SystemExit(f"{CARD} has {count} places for '{name}', not one.")
    return card


def _of(lines: Sequence[Line], figure: str) -> list[Line]:
    return [line for line in lines if line["figure"] == figure]


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def _range(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}"


def _made(lines: Sequence[Line]) -> str:
    first = lines[0]
    return (
        f"Figures of {first['twin']} on the record of {first['data']}, made on {first['date']} with gemel "
        f"{first['gemel']} by `{first['command']}`; numbers with full digits in `docs/evidence/earlywarning.jsonl`."
    )


def _parameters() -> str:
    rows = []
    for name, spec in manifest()["parameters"].items():
        bounds = f"{spec['minimum']:g} to {spec['maximum']:g}"
        change = "page, `--set`, API" if spec.get("slider", True) else "instance"
        rows.append((f"`{name}`", spec["title"], spec.get("unit", "1"), f"{spec['default']:g}", bounds, change))
    return _rows(("parameter", "meaning", "unit", "default", "bounds", "changed by"), rows)


def _checks(lines: Sequence[Line]) -> str:
    rows = []
    for line in _of(lines, "check"):
        value = f"{line['value']:.3f}" if isinstance(line["value"], float) else str(line["value"])
        bar = f"{line['comparison']} {line['bar']}"
        rows.append((f"`{line['id']}`", line["title"], value, bar, "passed" if line["passed"] else "**not passed**"))
    return _rows(("check", "what is judged", "value", "bar", "verdict"), rows)


def _model_table(lines: Sequence[Line]) -> str:
    rows = [(line["of"], f"{line['nse']:.3f}", f"{line['kge']:.3f}") for line in _of(lines, "model")]
    return _rows(("simulation of the test years", "NSE", "KGE"), rows)


def _split_table(lines: Sequence[Line]) -> str:
    splits = _of(lines, "split")
    seeds = [f"seed {seed}" for seed in splits[0]["seed"]]
    rows = []
    for line in splits:
        gains = [f"{gain:.3f}" for gain in line["gain_nse"]]
        rows.append((line["split"], *gains, f"{line['mean']:.3f}", f"{line['sd']:.3f}"))
    return _rows(("trained → tested", *seeds, "mean", "sd"), rows)


def _filter_sentence(lines: Sequence[Line]) -> str:
    found = " and ".join(f"{line['surprise']:.2f} ({line['of']})" for line in _of(lines, "filter"))
    return f"Mean square of the innovations on the test years, in the variances that the filter told: {found}."


def _lead_table(lines: Sequence[Line]) -> str:
    rows = []
    for line in lines:
        names = ("nse", "nse_persistence", "crps", "skill_persistence", "skill_climate", "coverage_90", "coverage_50")
        rows.append((f"{line['lead_days']} d", *(f"{line[name]:.3f}" for name in names)))
    header = ("lead", "NSE", "NSE of persistence", "CRPS, m³/s", "skill over persistence", "skill over climatology")
    table = _rows((*header, "90 % interval covers", "50 % interval covers"), rows)
    if "spread" not in lines[0]:
        return table
    spoken = {"nse": "NSE", "skill_persistence": "skill over persistence", "coverage_90": "90 % coverage"}
    widths = [
        f"{word} {max(line['spread'][n][1] - line['spread'][n][0] for line in lines):.3f}" for n, word in spoken.items()
    ]
    count = len(lines[0]["spread_seeds"])
    return (
        f"{table}\n\nGreatest difference between {count} seeds of filter and weather, at any lead: {', '.join(widths)}."
    )


def _reliability_table(lines: Sequence[Line]) -> str:
    rows = [
        (f"{line['forecast']:.2f}", f"{line['observed']:.2f}", str(line["count"])) for line in _of(lines, "reliability")
    ]
    return _rows(("forecast probability (mean of bin)", "observed frequency", "forecasts"), rows)


def _doubt_table(lines: Sequence[Line]) -> str:
    (line,) = _of(lines, "doubt")
    rows = [(origin, *(f"{share:.0%}" for share in shares)) for origin, shares in line["share"].items()]
    return _rows((f"issued {line['issued']}", *(f"{lead} d" for lead in line["lead_days"])), rows)


def _level_table(lines: Sequence[Line]) -> str:
    (line,) = _of(lines, "levels")
    rows = [
        (f"{row['return_period']:g} years", f"{row['level']:.0f}", f"{row['low']:.0f} to {row['high']:.0f}")
        for row in line["levels"]
    ]
    return _rows(("return period", "level, m³/s", f"90 % interval from {line['maxima']} annual maxima"), rows)


def _spi_sentence(lines: Sequence[Line]) -> str:
    (line,) = _of(lines, "spi-3")
    return (
        f"SPI-3 fitted to {line['calibration'].replace('/', '–')} has mean {line['mean']:.2f} and standard deviation "
        f"{line['sd']:.2f} over the {line['months']} months of {line['tested'].replace('/', '–')}, where 0 and 1 "
        "would be right."
    )


def main() -> None:
    """Measure unless told otherwise, record, and write the card's tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tables", action="store_true", help="only write the card's tables from the evidence")
    options.add_argument("--home", type=Path, help="home folder of the engine, whose finished steps are reused")
    chosen = options.parse_args()
    if not chosen.tables:
        with tempfile.TemporaryDirectory() as folder:
            lines = measure(chosen.home or Path(folder))
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        EVIDENCE.write_text(text, encoding="utf-8")
    CARD.write_text(written(CARD.read_text(encoding="utf-8"), blocks(read())), encoding="utf-8")


if __name__ == "__main__":
    main()
