"""Cubes larger than memory: the same numbers tile by tile as in one go, within the limit, or a clear refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from gemel.base.errors import DoesNotFit, StepFailed
from gemel.core.graph import Field, Graph, Node, Performer, Registry, ResultStore, Surroundings, plan, process, within
from gemel.core.tiling import estimate, evaluate
from gemel.infra.lake import ContentStore
from gemel.infra.lake.formats._zarr import open_zarr
from gemel.infra.store import open_store

_DAYS, _ROWS, _COLUMNS = 800, 48, 56
_calls: list[tuple[str, tuple[int, ...]]] = []


@pytest.fixture(autouse=True)
def _no_calls():
    _calls.clear()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cube") / "cube.zarr"
    values = np.random.default_rng(11).normal(10, 4, (_DAYS, _ROWS, _COLUMNS)).astype("f4")
    values[5, :3, :4] = np.nan
    group = zarr.open_group(path, mode="w")
    cube = group.create_array(
        "t2m", shape=values.shape, chunks=(100, 16, 16), dtype="f4", dimension_names=("t", "y", "x")
    )
    cube[:] = values
    for name, labels in (("y", np.linspace(50, 40, _ROWS)), ("x", np.linspace(0, 11, _COLUMNS))):
        group.create_array(name, data=labels, dimension_names=(name,))
    days = group.create_array("t", data=np.arange(_DAYS), dimension_names=("t",))
    days.attrs.update(units="days since 2001-01-01", calendar="proleptic_gregorian")
    return path


def _library(path: Path) -> Registry:
    @process(id="load_collection", durable=False)
    def load_collection(id: str) -> Field:
        """A cube."""
        return open_zarr(path)[id]

    @process(id="climatological_normal", durable=False)
    def normal(data: Field) -> Field:
        """The mean of each month."""
        _calls.append(("climatological_normal", data.shape))
        return data.groupby("t.month").mean()

    @process(id="anomaly", durable=False)
    def anomaly(data: Field, normals: Field) -> Field:
        """Deviation from the month's mean."""
        return (data.groupby("t.month") - normals).drop_vars("month")

    @process(id="aggregate_temporal_period", durable=False)
    def period(data: Field) -> Field:
        """Monthly means."""
        return data.resample(t="MS").mean()

    @process(id="aggregate_spatial_window", durable=False)
    def window(data: Field, size: list[int]) -> Field:
        """Block means."""
        return data.coarsen(x=size[0], y=size[1], boundary="trim").mean()

    @process(id="apply_kernel", durable=False)
    def smooth(data: Field, kernel: list[Any]) -> Field:
        """Sum over a 3 by 3 neighbourhood, zero outside."""
        padded = np.pad(data.values, ((0, 0), (1, 1), (1, 1)))
        rows, columns = data.shape[1:]
        moved = [padded[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
        return data.copy(data=np.sum(moved, axis=0))

    @process(id="reduce_spatial", durable=False)
    def over_space(data: Field) -> Field:
        """Mean over space."""
        _calls.append(("reduce_spatial", data.shape))
        return data.mean(["y", "x"])

    @process(id="apply", durable=False)
    def apply(data: Field, factor: float) -> Field:
        """A multiple."""
        _calls.append(("apply", data.shape))
        return data * factor

    @process(id="sort_all", durable=False)
    def sort_all(data: Field) -> Field:
        """Something that must see everything."""
        return xr.DataArray(np.sort(data.values, axis=None), dims="rank")

    found = (load_collection, normal, anomaly, period, window, smooth, over_space, apply, sort_all)
    return Registry({item.id: item for item in found})


_CHAIN = {
    "load": Node("load_collection", {"id": "t2m"}),
    "normal": Node("climatological_normal", {"data": {"from_node": "load"}}),
    "anomaly": Node("anomaly", {"data": {"from_node": "load"}, "normals": {"from_node": "normal"}}),
    "month": Node("aggregate_temporal_period", {"data": {"from_node": "anomaly"}}),
    "block": Node("aggregate_spatial_window", {"data": {"from_node": "month"}, "size": [2, 3]}),
}


class _Ground:
    """Evaluates light steps the way a run does, keeping each value that was asked for."""

    def __init__(self, nodes: dict[str, Node], path: Path, memory: int, home: Path, *outputs: str) -> None:
        last = next(reversed(nodes))
        self.plan = plan(Graph("g", nodes, {name: name for name in outputs or (last,)}), _library(path), {})
        self.place = Surroundings(home, None, memory)
        store = open_store(f"sqlite:///{home / 'journal.db'}")
        results = ResultStore(store, ContentStore(home / "results"), 65536)
        self.performer = Performer(self.plan, results, None, self.place)
        self.root = self.plan.steps[last]
        self.kept: dict[str, Any] = {}

    def load(self, name: str) -> Any:
        if name not in self.kept:
            self.kept[name] = evaluate(self.plan.steps[name], self.performer.ground(self.load))
        return self.kept[name]

    def value(self) -> Any:
        with within(self.place):
            return self.load(self.root.id)

    def estimate(self) -> Any:
        with within(self.place):
            return estimate(self.plan, self.performer.ground)


def _eager(nodes: dict[str, Node], path: Path) -> xr.DataArray:
    library, values = _library(path), {}
    for name, node in nodes.items():
        arguments = {
            key: values[item["from_node"]] if isinstance(item, dict) else item for key, item in node.arguments.items()
        }
        values[name] = library.get(node.process).function(**arguments)
        if name == "load":
            values[name] = values[name].load()
    return values[name]


@pytest.mark.parametrize("memory", [4_000_000, 40_000_000])
def test_tiles_give_what_the_whole_gives(stored, tmp_path, memory):
    ground = _Ground(_CHAIN, stored, memory, tmp_path)
    found, wanted = ground.value(), _eager(_CHAIN, stored)
    xr.testing.assert_allclose(found.load(), wanted)
    assert found.dims == wanted.dims
    assert found.dtype == wanted.dtype
    shapes = [shape for name, shape in _calls if name == "climatological_normal"]
    assert max(np.prod(shape) for shape in shapes[:-1]) * 4 < memory  # the last is that of the eager run


def test_each_part_of_the_cube_is_read_once(stored, tmp_path):
    ground = _Ground(_CHAIN, stored, 8_000_000, tmp_path)
    ground.value()
    cells = sum(int(np.prod(shape)) for name, shape in _calls if name == "climatological_normal")
    sliver = _calls[0][1]
    assert cells - int(np.prod(sliver)) == _DAYS * _ROWS * _COLUMNS


def test_a_neighbourhood_is_whole_at_the_seams_of_tiles(stored, tmp_path):
    nodes = {
        "load": _CHAIN["load"],
        "smooth": Node("apply_kernel", {"data": {"from_node": "load"}, "kernel": [[1] * 3] * 3}),
        "again": Node("apply_kernel", {"data": {"from_node": "smooth"}, "kernel": [[1] * 3] * 3}),
    }
    xr.testing.assert_allclose(_Ground(nodes, stored, 3_000_000, tmp_path).value().load(), _eager(nodes, stored))


def test_a_result_larger_than_memory_is_read_from_disk_as_needed(stored, tmp_path):
    nodes = {"load": _CHAIN["load"], "twice": Node("apply", {"data": {"from_node": "load"}, "factor": 2.0})}
    found = _Ground(nodes, stored, 4_000_000, tmp_path).value()
    assert list((tmp_path / "scratch").iterdir())
    xr.testing.assert_equal(found.isel(t=slice(90, 110)).load(), _eager(nodes, stored).isel(t=slice(90, 110)))
    del found
    assert not list((tmp_path / "scratch").iterdir())


def test_reaching_across_all_dimensions_is_done_in_stages(stored, tmp_path):
    nodes = {
        "load": _CHAIN["load"],
        "normal": _CHAIN["normal"],
        "anomaly": _CHAIN["anomaly"],
        "space": Node("reduce_spatial", {"data": {"from_node": "anomaly"}}),
    }
    ground = _Ground(nodes, stored, 8_000_000, tmp_path)
    xr.testing.assert_allclose(ground.value().load(), _eager(nodes, stored), rtol=1e-4, atol=1e-5)
    assert [stage.node for stage in ground.estimate().stages] == ["anomaly", "space"]


def test_what_can_not_be_cut_and_does_not_fit_is_refused_before_it_reads(stored, tmp_path):
    nodes = {"load": _CHAIN["load"], "sorted": Node("sort_all", {"data": {"from_node": "load"}})}
    ground = _Ground(nodes, stored, 4_000_000, tmp_path)
    with pytest.raises(DoesNotFit, match=r"sorted.*all of its data at once") as caught:
        ground.estimate()
    assert "runs.memory" in caught.value.hint
    with pytest.raises(DoesNotFit):
        ground.value()


def test_the_estimate_tells_shape_tiles_memory_and_bytes(stored, tmp_path):
    ground = _Ground(_CHAIN, stored, 8_000_000, tmp_path)
    (stage,) = ground.estimate().stages
    wanted = _eager(_CHAIN, stored)
    assert stage.shape == {str(name): size for name, size in wanted.sizes.items()}
    # Chunks of 16 rows and columns are decoded once for each tile that they touch.
    rows = [
        {row // 16 for row in range(top, min(top + stage.tile["y"], _ROWS))} for top in range(0, _ROWS, stage.tile["y"])
    ]
    assert stage.tile["x"] % 16 == 0
    assert stage.reads == _DAYS * _ROWS * _COLUMNS * 4 * sum(map(len, rows)) // (_ROWS // 16)
    assert 0 < stage.peak <= 8_000_000
    assert stage.tiles > 1
    assert 0 < stage.stored < 1.2 * stage.reads
    assert "tiles of" in str(stage)


def test_a_failure_inside_a_tile_names_its_step(stored, tmp_path):
    nodes = {"load": _CHAIN["load"], "twice": Node("apply", {"data": {"from_node": "load"}, "factor": "two"})}
    with pytest.raises(StepFailed) as caught:
        _Ground(nodes, stored, 8_000_000, tmp_path).value()
    assert caught.value.context["step"] == "twice"


def test_a_value_that_two_need_is_made_once(stored, tmp_path):
    nodes = {
        "load": _CHAIN["load"],
        "twice": Node("apply", {"data": {"from_node": "load"}, "factor": 2.0}),
        "space": Node("reduce_spatial", {"data": {"from_node": "twice"}}),
        "month": Node("aggregate_temporal_period", {"data": {"from_node": "twice"}}),
    }
    ground = _Ground(nodes, stored, 8_000_000, tmp_path, "space", "month")
    with within(ground.place):
        ground.load("space")
        ground.load("month")
    cells = sum(int(np.prod(shape)) for name, shape in _calls if name == "apply")
    assert cells < 1.1 * _DAYS * _ROWS * _COLUMNS
