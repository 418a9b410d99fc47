"""A synthetic river and its documents, in the shapes of `/api/v1`: every number here is made up by a small recursion."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from gemel.base.errors import NotFound

TWIN = "earlywarning"
PAST, HORIZON = 90, 7
LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
SPREAD = [-1.64, -0.67, 0.0, 0.67, 1.64]
START = datetime(2019, 3, 4, tzinfo=UTC)
UNIT = "m3 s-1"
STEADY: dict[str, Any] = json.loads((Path(__file__).parent / "synthetic_documents.json").read_text())
CARD = """---
id: earlywarning
---
# What it mirrors

A **synthetic** river, made for trying out the page. Nothing here was measured.

| variable | unit | declared fidelity |
|---|---|---|
| discharge | m3 s-1 | 10 % |

```python
import gemel
```

<script>window.unsafe = true</script> ![picture](https://example.invalid/a.png) [link](javascript:alert(1))
"""


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


class River:
    """Rain in showers, discharge as a linear store, a forecast that widens with lead time."""

    def __init__(self, days: int = 4000) -> None:
        rng = np.random.default_rng(11)
        wet = rng.random(days) < 0.33 + 0.12 * np.sin(np.arange(days) / 9.0)
        self.rain = np.where(wet, rng.gamma(1.3, 7.0, days), 0.0)
        self.noise = rng.normal(0.0, 0.04, days)
        self.flow = np.empty(days)
        self.flow[0] = 25.0
        for day in range(1, days):
            self.flow[day] = self.step(self.flow[day - 1], self.rain[day])

    @staticmethod
    def step(flow: float, rain: float) -> float:
        return 0.82 * flow + 1.0 + 0.12 * rain**1.45

    def observed(self, day: int) -> float:
        return float(self.flow[day] * (1.0 + self.noise[day]))

    def forecast(self, today: int, rain: float, offset: float) -> list[list[float]]:
        flow, rows = float(self.flow[today]) * (1.0 + 0.02 * offset), []
        for lead in range(1, HORIZON + 1):
            flow = self.step(flow, float(self.rain[today + lead]) * rain * 0.9 + 1.0)
            sigma = 0.12 * math.sqrt(lead)
            rows.append([round(flow * math.exp(sigma * z), 3) for z in SPREAD])
        return [list(column) for column in zip(*rows, strict=True)]


class Synthetic:
    """A stand-in for the engine: implements the documents that pages ask for, and moves on a day at a time."""

    def __init__(self) -> None:
        self.river = River()
        self.today = PAST + 34
        self.sequence = 0
        self.state = "in-step"
        self.whatifs: dict[str, dict[str, Any]] = {}

    def advance(self) -> None:
        self.today += 1
        self.sequence += 1

    def clock(self, day: int | None = None) -> str:
        return iso(START + timedelta(days=(self.today if day is None else day) - PAST))

    def _known(self, name: str) -> None:
        if name != TWIN:
            raise NotFound(f"There is no twin '{name}'.", hint="List them with: gemel twins")

    def twins(self) -> dict[str, Any]:
        card = self.twin(TWIN)
        return {"twins": [{key: card[key] for key in ("id", "version", "title", "summary", "live")}]}

    def twin(self, twin: str) -> dict[str, Any]:
        self._known(twin)
        return {
            "id": TWIN,
            "version": "0.1.0",
            "title": "Flood early warning",
            "summary": "A made-up river, its gauge and its weather, kept in step day by day; forecasts the coming week with its doubt.",
            "licence": "CC-BY-4.0",
            "citation": "Synthetic example, not for citation.",
            "contact": "none",
            "origin": "synthetic",
            "physical": {
                "title": "Synthetic river at the outlet gauge",
                "sync": "1 d",
                "fidelity": {"discharge": "10 %"},
            },
            "parameters": STEADY["parameters"],
            "graphs": ["forecast", "update"],
            "main": "forecast",
            "views": STEADY["declared"],
            "live": self.state != "not-live",
        }

    def card(self, twin: str) -> str:
        self._known(twin)
        return CARD

    def live(self, twin: str) -> dict[str, Any]:
        self._known(twin)
        observed, modelled = self.river.observed(self.today), float(self.river.flow[self.today])
        return {
            "twin": TWIN,
            "clock": self.clock(),
            "run": "run-update-0003",
            "sequence": self.sequence,
            "freshness": {
                "state": self.state,
                "age_seconds": 0.4,
                "sync": "1 d",
                "speed": "1 d/s",
                "last_observation": self.clock(),
                "late_observations": 1,
                "duplicates": 0,
                "gaps": 2,
            },
            "misfit": {
                "variable": "discharge",
                "value": abs(modelled - observed) / observed,
                "unit": "1",
                "observed": observed,
                "modelled": modelled,
                "declared": "10 %",
                "diverged": False,
            },
        }

    def plume(self, parameters: dict[str, float] | None = None) -> dict[str, Any]:
        days = range(self.today - PAST + 1, self.today + 1)
        ahead = range(self.today + 1, self.today + HORIZON + 1)
        leads = [self.clock(day) for day in ahead]

        def fan(rain: float, offset: float) -> dict[str, Any]:
            return {"time": leads, "levels": LEVELS, "values": self.river.forecast(self.today, rain, offset)}

        values: list[float | None] = [round(self.river.observed(day), 2) for day in days]
        values[-40] = None
        changed = parameters or {}
        base = fan(1.0, 0.0)
        offset = changed.get("temperature", 0.0) * 2 + (changed.get("soil", 60) - 60) / 2
        return {
            "id": "plume",
            "kind": "plume",
            "title": "Discharge at the outlet",
            "unit": UNIT,
            "variable": "discharge",
            "issued": self.clock(),
            "observed": {"time": [self.clock(day) for day in days], "values": values},
            "fitted": {
                "time": [self.clock(day) for day in days],
                "values": [round(float(self.river.flow[day]), 2) for day in days],
            },
            "quantiles": fan(changed.get("rain", 1.0), offset) if parameters is not None else base,
            "baseline": base if parameters is not None else None,
            "thresholds": [
                {"label": "2-year flood", "value": 62.0, "return_period": 2},
                {"label": "10-year flood", "value": 118.0, "return_period": 10},
            ],
            "drivers": [
                {
                    "name": "precipitation",
                    "title": "Rain",
                    "unit": "mm d-1",
                    "time": [self.clock(d) for d in (*days, *ahead)],
                    "values": [
                        round(float(self.river.rain[d]) * (changed.get("rain", 1.0) if d > self.today else 1.0), 1)
                        for d in (*days, *ahead)
                    ],
                }
            ],
        }

    def alerts(self, plume: dict[str, Any]) -> dict[str, Any]:
        raised = []
        for threshold, limit in zip(plume["thresholds"], (0.4, 0.2), strict=True):
            medians = plume["quantiles"]["values"][2]
            lead = max(range(HORIZON), key=lambda i: medians[i])
            z = math.log(threshold["value"] / medians[lead]) / (0.12 * math.sqrt(lead + 1))
            chance = 0.5 * math.erfc(z / math.sqrt(2))
            raised.append(
                {
                    "event": "flood",
                    "place": "outlet gauge",
                    "level": threshold["label"].split()[0],
                    "probability": round(chance, 3),
                    "threshold": threshold["value"],
                    "unit": UNIT,
                    "lead_days": lead + 1,
                    "valid": plume["quantiles"]["time"][lead],
                    "issued": plume["issued"],
                    "limit": limit,
                }
            )
        return {"id": "alerts", "kind": "alerts", "title": "Alerts", "alerts": raised}

    def views(self, twin: str, parameters: dict[str, float] | None = None) -> dict[str, Any]:
        self._known(twin)
        plume = self.plume(parameters)
        line = "synthetic model NSE 0.93 · 90 % intervals cover 91 % · misfit 4 % against 10 % declared"
        quality = {
            "id": "quality",
            "kind": "quality",
            "title": "Quality",
            "passed": True,
            "report": self.report(TWIN),
            "line": line,
        }
        return {"views": [plume, self.alerts(plume), *STEADY["steady"], quality]}

    def report(self, twin: str) -> dict[str, Any] | None:
        self._known(twin)
        report: dict[str, Any] = STEADY["report"]
        return report

    def runs(self, twin: str | None, limit: int) -> dict[str, Any]:
        return {
            "runs": [
                self.run(name) for name in ("run-update-0003", "run-whatif-0002", "run-failed-0001", "run-check-0001")
            ][:limit]
        }

    def run(self, run: str) -> dict[str, Any]:
        if run not in ("run-update-0003", "run-whatif-0002", "run-failed-0001", "run-check-0001", *self.whatifs):
            raise NotFound(f"There is no run '{run}'.", hint="List them with: gemel runs")
        failed = run.startswith("run-failed")
        steps = [
            ("weather", "weather_ensemble", "finished", True, 0.8),
            ("runoff", "runoff", "finished", run.startswith("run-whatif"), 0.31),
            ("assimilate", "assimilate", "failed" if failed else "finished", False, 0.22),
            ("doubt", "decompose", "queued" if failed else "finished", False, None if failed else 0.05),
        ]
        return {
            "id": run,
            "twin": TWIN,
            "graph": run.split("-")[1].replace("failed", "forecast"),
            "state": "failed" if failed else "finished",
            "started": self.clock(),
            "ended": iso(START + timedelta(days=self.today - PAST, seconds=0.41)),
            "steps": [dict(zip(("id", "process", "state", "cached", "seconds"), step, strict=True)) for step in steps],
            "outputs": []
            if failed
            else [
                {"name": "discharge", "href": f"/api/v1/runs/{run}/outputs/discharge", "format": "netcdf", "unit": UNIT}
            ],
            "checks": [{"id": "bounds", "passed": True, "value": 0.0, "bar": 0.0}],
            "error": {
                "code": "run.step-failed",
                "message": "Step 'assimilate' failed: the gauge reported −3 m3 s-1.",
                "hint": "Mask the value at the source, then: gemel run earlywarning",
                "context": {"step": "assimilate"},
            }
            if failed
            else None,
            "parameters": self.whatifs.get(run, {"rain": 1.3} if "whatif" in run else {}),
        }

    def logs(self, run: str) -> dict[str, Any]:
        return {
            "logs": [
                {"time": self.clock(), "step": "weather", "level": "info", "message": "reused 50 members"},
                {
                    "time": self.clock(),
                    "step": "assimilate",
                    "level": "warning",
                    "message": "one observation came 1 d late",
                },
            ]
        }
