"""Climatology, anomaly, monthly and block means of a large cube beside numpy, xarray and mere decoding; and a cube that does not fit."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from bench._environment import BUILD, python_with, version_in
from bench._report import progress, report

ROUNDS = 5
SHAPE, CHUNKS = (2920, 256, 384), (365, 128, 128)
_LIMIT = 2_000_000_000
# What its extra `implementations` asks for, without gdal, which it does not import and which does not build here.
_OPENEO_DASK = ["openeo", "openeo-pg-parser-networkx>=2026.3", "xarray", "zarr", "dask[array,distributed,dataframe]"]
_OPENEO_DASK += [
    "flox",
    "xvec",
    "rioxarray",
    "geopandas",
    "odc-stac",
    "pystac-client",
    "planetary-computer",
    "stackstac",
]
_OPENEO_DASK += ["scipy", "xgboost", "joblib", "dask-geopandas", "stac-validator"]


@dataclass(frozen=True)
class Round:
    """What one round took: processor and wall seconds, the result's sum, and the peak of resident memory in bytes."""

    processor: float
    wall: float
    total: float
    peak: int


class Contender:
    """A process that does the work once for each line it is sent."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=BUILD.parent
        )

    def round(self) -> Round:
        """Return what one round took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            if line.startswith("round "):
                processor, wall, total, peak = map(float, line.split()[1:])
                return Round(processor, wall, total, int(peak))
        raise RuntimeError(f"{self._process.args} ended without an answer")

    def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _ours(way: str, path: Path, memory: str = "") -> Contender:
    return Contender([sys.executable, "-m", "bench._run_cube", way, str(path), memory])


def climatology() -> None:
    """Measure processor time in interleaved rounds; the first round of each, which compiles and warms up, does not count."""
    path = stored_cube()
    contenders = {way: _ours(way, path) for way in ("gemel", "numpy", "xarray", "decode")}
    rounds = _interleaved("climatology", contenders)
    sums = [statistics.median(item.total for item in rounds[way]) for way in ("gemel", "numpy", "xarray")]
    # Sums of 2.4 million float32 means: they agree to what float32 adds up to, or one of them did something else.
    assert max(sums) - min(sums) < 1e-4 * abs(sums[1]), sums
    ours = [item.processor for item in rounds["gemel"]]
    bars = {"numpy": "<= 0.55", "xarray": "", "decode": ""}
    names = {
        "numpy": "tiled numpy, by sums of months",
        "xarray": "xarray + dask threads + flox",
        "decode": "zarr reading only",
    }
    for way, bar in bars.items():
        more = {"bar": bar} if bar else {}
        peaks = {"peak_memory_GB": {name: _gigabytes(rounds[name]) for name in ("gemel", way)}}
        wall = {"wall_ratio": round(_wall(rounds["gemel"]) / _wall(rounds[way]), 3)}
        report(
            f"climatology-chain-beside-{way}",
            ours,
            [item.processor for item in rounds[way]],
            "s CPU",
            names[way],
            **more,
            **wall,
            **peaks,
        )


def monthly_means() -> None:
    """Measure the one part of it that openeo-processes-dask can do, each in its own environment."""
    path = stored_cube()
    python = python_with("openeo-dask", _OPENEO_DASK, ["openeo-processes-dask>=2026.9"])
    script = str(Path(__file__).with_name("_run_openeo_dask.py"))
    contenders = {"gemel": _ours("gemel-month", path), "dask": Contender([str(python), script, str(path)])}
    rounds = _interleaved("monthly means", contenders)
    ours, peer = ([item.processor for item in rounds[way]] for way in contenders)
    name = f"openeo-processes-dask {version_in(python, 'openeo-processes-dask')}"
    wall = round(_wall(rounds["gemel"]) / _wall(rounds["dask"]), 3)
    report("monthly-means", ours, peer, "s CPU", name, wall_ratio=wall)


def _interleaved(what: str, contenders: dict[str, Contender]) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {way: [] for way in contenders}
    for number in range(ROUNDS + 1):
        progress(f"{what}: round {number} of {ROUNDS}")
        for way, contender in contenders.items():
            taken = contender.round()
            if number:
                rounds[way].append(taken)
    for contender in contenders.values():
        contender.close()
    return rounds


def beyond_memory() -> None:
    """Run the same chain on a cube of 10 GB with a limit of 2 GB; what counts is the peak of resident memory."""
    path = _large(stored_cube())
    contender = _ours("gemel", path, "2 GB")
    progress("a cube of 10 GB within 2 GB")
    taken = contender.round()
    contender.close()
    size = float(np.prod(SHAPE)) * 4 * 9
    report(
        "cube-beyond-memory",
        [taken.peak / 1e9],
        [_LIMIT / 1e9],
        "GB resident",
        "the limit",
        bar="<= 1",
        cube_GB=round(size / 1e9, 1),
        cpu_seconds=round(taken.processor, 1),
        wall_seconds=round(taken.wall, 1),
    )


def stored_cube() -> Path:
    """Return the generated (synthetic) cube: daily values with a season and noise, 1.15 GB, made once."""
    path = BUILD / "cube.zarr"
    if not path.with_suffix(".done").exists():
        shutil.rmtree(path, ignore_errors=True)
        progress("generating a cube of 1.15 GB")
        _generate(path)
        path.with_suffix(".done").touch()
    return path


def _generate(path: Path) -> None:
    random = np.random.default_rng(7)
    days = np.arange(SHAPE[0])
    season = 10 * np.sin(2 * np.pi * (days % 365.25 - 100) / 365.25)
    group = _group(path, SHAPE)
    for start in range(0, SHAPE[0], CHUNKS[0]):
        part = season[start : start + CHUNKS[0], None, None]
        noise = random.standard_normal((len(part), *SHAPE[1:]), dtype=np.float32)
        group["t2m"][start : start + len(part)] = (15 + part + 3 * noise).astype("f4")  # type: ignore[index]


def _group(path: Path, shape: tuple[int, ...]) -> zarr.Group:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    cube = group.create_array("t2m", shape=shape, chunks=CHUNKS, dtype="f4", dimension_names=("t", "y", "x"))
    cube.attrs.update(units="degC")
    for name, labels in (("y", np.linspace(60, 30, shape[1])), ("x", np.linspace(-10, 40, shape[2]))):
        group.create_array(name, data=labels, dimension_names=(name,))
    days = group.create_array("t", data=np.arange(shape[0]), dimension_names=("t",))
    days.attrs.update(units="days since 2001-01-01", calendar="proleptic_gregorian")
    return group


def _large(small: Path) -> Path:
    """Return a cube nine times as large, whose chunks are links to those of the small one."""
    path = BUILD / "cube-large.zarr"
    if not path.with_suffix(".done").exists():
        shutil.rmtree(path, ignore_errors=True)
        _group(path, (SHAPE[0], SHAPE[1] * 3, SHAPE[2] * 3))
        for chunk in (small / "t2m" / "c").rglob("*"):
            if chunk.is_file():
                t, y, x = map(int, chunk.relative_to(small / "t2m" / "c").parts)
                for row in range(y, 6, 2):
                    for column in range(x, 9, 3):
                        target = path / "t2m" / "c" / str(t) / str(row) / str(column)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        os.link(chunk, target)
        path.with_suffix(".done").touch()
    return path


def _wall(rounds: list[Round]) -> float:
    return statistics.median(item.wall for item in rounds)


def _gigabytes(rounds: list[Round]) -> float:
    return round(max(item.peak for item in rounds) / 1e9, 2)
