"""What tests above the core share: a small synthetic twin, the command line as a process, a serving engine."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from gemel.core.engine import Service
from gemel.infra.access import read_token
from gemel.server import Pages, bind, create_app

FIRST_DAY = date(2001, 1, 1)
PATIENCE = 60.0  # seconds until something that should take a moment is taken for broken

# A synthetic gauge: days are counted and flows summed, so that a day lost or taken twice shows in the state.
BROOK_TOML = """\
[twin]
id = "brook"
version = "1.2.3"
title = "A synthetic brook"
summary = "Counts what a synthetic gauge tells."
licence = "Apache-2.0"
main = "forecast"

[physical]
title = "No real brook"
sync = "1 d"
fidelity = {{ flow = "10 %" }}

[datasets]
record = "gauge.csv"

[settings]
side = "{side}"
gate = "{gate}"

[sources.gauge]
kind = "replay"
dataset = "record"
reader = "gauged"
speed = "max"

[parameters.rain]
title = "Rain"
unit = "1"
default = 1.0
minimum = 0.0
maximum = 3.0

[parameters.warmth]
title = "Warmth"
unit = "K"
default = 0.0
minimum = -5.0
maximum = 5.0
difference = true

[parameters.length]
title = "Length of the brook"
unit = "km"
default = 2.0
minimum = 0.1
slider = false

[[triggers]]
on = "gauge"
run = "update"

[[checks]]
id = "sum"
title = "Nothing is lost"
kind = "maximum"
on = "figures.lost"
bar = 0.5
unit = "m3"

[[views]]
id = "flow"
kind = "plume"
title = "Flow"
output = "flow"
variable = "flow"

[[views]]
id = "alerts"
kind = "alerts"
output = "alerts"

[[views]]
id = "quality"
kind = "quality"
"""

BROOK_CODE = '''\
"""A synthetic brook."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gemel import Dataset, File, Number, graph, process, progress


@process
def gauged(record: File) -> Dataset:
    """Daily flow (synthetic)."""
    table = pd.read_csv(record, parse_dates=["date"])
    return xr.Dataset({"flow": ("time", table["flow"].astype(float))}, {"time": table["date"].values})


@process
def counted(state: dict[str, Any] | None, observation: dict[str, Any], side: str) -> dict[str, Any]:
    """Days and flow up to now."""
    before = state or {"days": 0, "total": 0.0}
    flow = observation["flow"]
    if flow == -1:
        raise ValueError("the gauge is broken")
    if side:
        handle = os.open(side, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, (observation["time"] + "\\n").encode())
        os.close(handle)
    return {"days": before["days"] + 1, "total": before["total"] + (flow or 0.0), "flow": flow}


@process
def misfit_of(state: dict[str, Any]) -> dict[str, Any]:
    """Flows above 100 are nothing like the (constant) model."""
    flow = state["flow"]
    value = float("nan") if flow is None else 0.5 if flow > 100 else 0.01
    return {"variable": "flow", "value": value, "unit": "1", "observed": flow, "modelled": 1.0}


@process
def alerts_of(state: dict[str, Any]) -> list[Any]:
    """An alert above 50."""
    flow = state["flow"] or 0.0
    alert = {"event": "flood", "place": "brook", "level": "high", "probability": 0.9, "threshold": 50.0, "unit": "m3 s-1"}
    return [alert | {"lead_days": 1, "valid": "2001-01-01", "issued": "2001-01-01", "limit": 0.5}] if flow > 50 else []


@process
def coming(rain: float, warmth: Number["K"], length: Number["m"]) -> Dataset:
    """Quantiles of the coming three days."""
    levels = np.array([0.05, 0.5, 0.95])
    flow = rain * levels[:, None] * np.array([1.0, 2.0, np.nan]) + warmth + 0 * length
    time = np.array(["2001-02-01", "2001-02-02", "2001-02-03"], "datetime64[ns]")
    return xr.Dataset({"flow": (("quantile", "time"), flow, {"units": "m3 s-1"})}, {"quantile": levels, "time": time})


@process
def longest(length: Number["m"]) -> float:
    """Length in metres."""
    return float(length)


@process
def waited(gate: str, number: int) -> int:
    """The number, as soon as there is a file."""
    while not Path(gate).exists():
        progress(0.1 * number, "waiting for the file")
        threading.Event().wait(0.01)
    return number


@process
def added(left: int, right: int) -> int:
    """A sum."""
    return left + right


@process
def broken(rain: float) -> float:
    """Always fails."""
    raise ValueError(f"no water for rain {rain}")


@process
def lost(rain: float) -> dict[str, Any]:
    """Water lost: as much as it rains beyond 1."""
    return {"lost": max(rain - 1.0, 0.0)}


@graph
def update(observation: dict[str, Any], side: str, state: dict[str, Any] | None = None):
    """One more day."""
    now = counted(state, observation, side)
    return {"state": now, "misfit": misfit_of(now), "alerts": alerts_of(now)}


@graph
def forecast(rain: float = 1.0, warmth: Number["K"] = 0.0, length: Number["m"] = 1.0):
    """The coming days."""
    return {"flow": coming(rain, warmth, length), "length": longest(length)}


@graph
def held(gate: str):
    """Two steps that wait for a file, and what they add up to."""
    return {"sum": added(added(waited(gate, 1), waited(gate, 2)), 7)}


@graph
def failing(rain: float = 1.0):
    """Fails."""
    return {"nothing": broken(rain)}


@graph
def validate(rain: float = 1.0):
    """Figures."""
    return {"figures": lost(rain)}
'''
CARD = "# Brook\n\n**Purpose.** Tests.\n**Data.** Synthetic.\n**Quality.** None.\n**Limits.** All.\n**Licence.** Apache-2.0\n"


def write_brook(parent: Path, flows: Sequence[float | None] | Mapping[int, float | None] = (), **changes: str) -> Path:
    """Return the folder of the synthetic twin; `flows` by day, `changes` replace texts in its `twin.toml`."""
    folder = parent / "brook"
    folder.mkdir(parents=True)
    toml = BROOK_TOML.format(side=parent / "side.txt", gate=parent / "gate")
    for old, new in changes.items():
        assert old in toml, old
        toml = toml.replace(old, new)
    (folder / "twin.toml").write_text(toml)
    (folder / "twin.py").write_text(BROOK_CODE)
    (folder / "README.md").write_text(CARD)
    write_flows(folder / "gauge.csv", flows)
    return folder


def write_flows(path: Path, flows: Sequence[float | None] | Mapping[int, float | None]) -> None:
    by_day = flows if isinstance(flows, Mapping) else dict(enumerate(flows))
    rows = [f"{FIRST_DAY + timedelta(days=day)},{'' if flow is None else flow}" for day, flow in by_day.items()]
    path.write_text("\n".join(["date,flow", *rows]) + "\n")


def environment(home: Path, **more: str) -> dict[str, str]:
    dropped = ("GEMEL_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {"GEMEL_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"} | more


def gemel(*arguments: str, home: Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Return how `gemel ARGUMENTS` ended, run as people run it."""
    command = [sys.executable, "-m", "gemel", *arguments]
    return subprocess.run(
        command, env=environment(home, **more), cwd=cwd, capture_output=True, text=True, timeout=5 * PATIENCE
    )


@dataclass
class Serving:
    """A serving engine."""

    url: str
    token: str
    home: Path
    service: Service | None = None

    def client(self, *, signed_in: bool = True, **headers: str) -> httpx2.Client:
        shown = {"Authorization": f"Bearer {self.token}"} if signed_in else {}
        return httpx2.Client(base_url=self.url, headers=shown | headers, timeout=PATIENCE)


@contextlib.contextmanager
def serving(service: Service, pages: Pages | None = None) -> Iterator[Serving]:
    """Yield the engine of `service` behind a real address, served from a thread."""
    app = create_app(service, pages)
    listener = bind("127.0.0.1", 0)
    ready = threading.Event()

    class _Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready.set()

    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=2)
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        home = service.engine.settings.home
        yield Serving(f"http://127.0.0.1:{listener.getsockname()[1]}", read_token(home), home, service)
    finally:
        app.state.stopping.set()
        server.should_exit = True
        thread.join(PATIENCE)
        listener.close()


@contextlib.contextmanager
def up(*arguments: str, home: Path, cwd: Path, **more: str) -> Iterator[tuple[Serving, subprocess.Popen[str]]]:
    """Yield `gemel up ARGUMENTS` on a free port, as a process."""
    command = [sys.executable, "-m", "gemel", "up", "--port", "0", "--json", *arguments]
    with (home / "up.err").open("a") as told:
        process = subprocess.Popen(
            command, env=environment(home, **more), cwd=cwd, stdout=subprocess.PIPE, stderr=told, text=True
        )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line, (home / "up.err").read_text()
        yield Serving(json.loads(line)["url"], read_token(home), home), process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@functools.cache
def trained_home() -> Path:
    """Return a home whose early-warning models are trained; one for all tests, to be copied and not changed."""
    folder = Path(tempfile.mkdtemp(prefix="gemel-trained-"))
    ended = gemel("run", "earlywarning", "train", "--json", home=folder, cwd=folder)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return folder


def copy_home(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("engines", "up.err"))
    return target


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Return the condition's value as soon as it is true; fail when that takes too long."""
    never = threading.Event()
    for _ in range(int(seconds / 0.02)):
        found = condition()
        if found:
            return found
        never.wait(0.02)
    raise AssertionError("this never came true")


def install_plugin(site: Path, kind: str, name: str, code: str) -> None:
    """Lay a distribution into the folder `site` that registers `Plugin` of its module in the group of `kind`."""
    module = f"plugin_{name}"
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text(code)
    about = site / f"{module}-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(f"[gemel.{kind}]\n{name} = {module}:Plugin\n")


@functools.cache
def checked_home() -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Return a home after the demo's whole job was done in it once, and how that ended; to be copied, not changed."""
    folder = copy_home(trained_home(), Path(tempfile.mkdtemp(prefix="gemel-checked-")))
    return folder, gemel("up", "--demo", "--once", "--json", home=folder, cwd=folder)
