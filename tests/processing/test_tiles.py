"""Cubes larger than the memory that may be used: the numbers of plain xarray, whatever is cut, and no leftovers."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from workbench import DATA, MONTHS, OVER_TIME, Bench, chain, child, load, weather

from gemel.base.config import load_settings
from gemel.core.engine import open_engine

X = {"from_parameter": "x"}
DOUBLED = ("apply", {"process": child("multiply", x=X, y=2)})
SMOOTHED = ("apply_kernel", {"kernel": [[1, 1, 1]] * 3, "factor": 1 / 9})
BLOCKS = ("aggregate_spatial_window", {"size": [4, 3], "boundary": "trim", "reducer": child("mean", data=DATA)})
BOX = ("filter_bbox", {"extent": {"west": 2, "south": 42, "east": 9, "north": 47}})
DAYS = 400


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Yield an engine that may use less memory than its collection of 1 MB asks for."""
    folder = tmp_path_factory.mktemp("small")
    settings = load_settings(home=folder / "home", folder=folder, environ={}, assignments=["runs.memory=1200 kB"])
    with open_engine(settings) as engine:
        bench = Bench(engine, folder)
        cube = weather(DAYS)
        order = np.random.default_rng(2).permutation(DAYS)
        bench.lake.add_dataset("weather", cube)
        bench.lake.add_dataset("disorder", cube.isel(time=order).transpose("latitude", "time", "longitude"))
        yield bench


def smoothed(cube: xr.DataArray) -> xr.DataArray:
    wide = cube.pad(latitude=1, longitude=1, mode="constant", constant_values=0)
    moved = wide.rolling(latitude=3, longitude=3, center=True).mean()
    return moved.isel(latitude=slice(1, -1), longitude=slice(1, -1))


CHAINS: dict[str, tuple[list[Any], Callable[[xr.DataArray], xr.DataArray]]] = {
    "months": ([MONTHS], lambda cube: cube.resample(time="MS").mean()),
    "twice in a row": ([DOUBLED, OVER_TIME], lambda cube: (2 * cube).mean("time")),
    "neighbours": ([SMOOTHED], smoothed),
    "neighbours of neighbours": ([SMOOTHED, SMOOTHED, OVER_TIME], lambda cube: smoothed(smoothed(cube)).mean("time")),
    # Windows begin in the north, where this cube ends: what is left over lies in the south.
    "blocks": (
        [BLOCKS],
        lambda cube: cube.coarsen(
            longitude=4, latitude=3, boundary="trim", side={"latitude": "right", "longitude": "left"}
        ).mean(),
    ),
    "a part of what was computed": (
        [DOUBLED, BOX, MONTHS],
        lambda cube: (2 * cube).sel(latitude=slice(42, 47), longitude=slice(2, 9)).resample(time="MS").mean(),
    ),
    "a result larger than memory": ([DOUBLED], lambda cube: 2 * cube),
}


@pytest.mark.parametrize("collection", ["weather", "disorder"])
@pytest.mark.parametrize("case", list(CHAINS))
def test_tiles_give_what_the_whole_gives(case: str, collection: str, small: Bench) -> None:
    steps, plain = CHAINS[case]
    found = small.value(load(collection), *steps).transpose(..., "latitude", "longitude")
    # The order of sums differs, and with it the last of seven digits.
    np.testing.assert_allclose(found.values, plain(weather(DAYS)).values, rtol=2e-6)


def test_what_must_see_everything_and_does_not_fit_is_refused_with_numbers(small: Bench) -> None:
    error = small.error(chain(load("weather"), DOUBLED, ("trim_cube", {})))
    assert error["code"] == "memory.does-not-fit"
    assert "1.2 MB may be used" in error["message"] and "runs.memory" in error["hint"]


@pytest.mark.slow
def test_lengths_that_depend_on_the_data_are_found_by_looking_at_all_of_it(tmp_path: Path) -> None:
    cube = weather(15000).isel(longitude=slice(0, 30))  # 36 MB: cut where it can be
    cube.values[np.random.default_rng(6).random(cube.shape) < 0.001] = np.nan
    # Without saying where missing values go, the standard's sort leaves them out.
    step = ("apply_dimension", {"dimension": "time", "process": child("sort", data=DATA)})
    settings = load_settings(home=tmp_path, folder=tmp_path, environ={}, assignments=["runs.memory=2 GB"])
    with open_engine(settings) as engine:
        bench = Bench(engine, tmp_path)
        bench.lake.add_dataset("long", cube)
        found = bench.value(
            load("long"), step, ("reduce_dimension", {"dimension": "time", "reducer": child("first", data=DATA)})
        )
    np.testing.assert_array_equal(found.values, cube.min("time").values)


def test_a_tile_that_fails_leaves_nothing_behind(small: Bench) -> None:
    document = small.lake.add_dataset("damaged", weather(DAYS))
    store = small.lake.folder / "damaged" / document["assets"]["data"]["href"]
    chunks = sorted(path for path in store.rglob("*") if path.is_file() and "/t2m/c/" in path.as_posix())
    chunks[-1].write_bytes(b"not what zstd writes")
    error = small.error(chain(load("damaged"), DOUBLED))
    assert error["context"]["cause"] == "input.invalid" and "'t2m' is damaged" in error["message"]
    gc.collect()  # what the traceback still held
    assert not list((small.engine.settings.home / "scratch").glob("cube-*"))


def test_scratch_of_an_engine_that_was_killed_is_swept_up(small: Bench) -> None:
    scratch = small.engine.settings.home / "scratch"
    # No process of Linux has such a number (proc(5): pid_max is at most 2^22).
    dead = scratch / f"cube-{socket.gethostname()}-999999999-x"
    dead.mkdir(parents=True)
    small.lake.add_dataset("more", 3 * weather(DAYS))
    small.value(load("more"), DOUBLED)
    assert not dead.exists()
