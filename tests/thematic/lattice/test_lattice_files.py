"""Configurations and states of chains in files: exact round trips, damage noticed, foreign pickles harmless."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gemel.base.errors import InvalidInput, StoreFull
from gemel.thematic import lattice as lft

SUFFIXES = (".h5", ".txt", ".bin")
FIELDS = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), elements=st.floats(allow_nan=True, width=64)
)


def same_bits(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def some_ensemble():
    rng = np.random.default_rng(1)
    columns = {"log_q": rng.normal(size=3), "accepted": np.array([1.0, 0.0, 1.0])}
    return lft.Ensemble(rng.normal(size=(3, 2, 4, 4)), columns, {"theory": "u1", "beta": 2.0, "seed": 1})


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=FIELDS)
def test_every_number_comes_back_as_it_was(tmp_path, suffix, field):
    field = np.where(np.isnan(field), np.nan, field)  # the payload of a NaN is no number
    path = lft.write_configurations(tmp_path / f"some{suffix}", lft.Ensemble(field))
    assert same_bits(lft.read_configurations(path).field, field)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_attributes_and_complex_fields_come_back(tmp_path, suffix):
    ensemble = some_ensemble()
    found = lft.read_configurations(lft.write_configurations(tmp_path / f"one{suffix}", ensemble))
    assert same_bits(found.field, ensemble.field)
    assert found.attributes == ensemble.attributes
    assert {name: column.tolist() for name, column in found.columns.items()} == {
        name: column.tolist() for name, column in ensemble.columns.items()
    }
    links = lft.sun_heat_bath(lft.cold_links(3, 2, (2, 2)), 5.0, np.random.default_rng(0))
    path = lft.write_configurations(tmp_path / f"two{suffix}", lft.Ensemble(links, {"a": np.array([0.5, -0.0])}))
    assert same_bits(lft.read_configurations(path).field, links)
    assert sorted(item.name for item in tmp_path.iterdir()) == [f"one{suffix}", f"two{suffix}"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_cut_off_files_are_refused_by_name(tmp_path, suffix):
    path = lft.write_configurations(tmp_path / f"cut{suffix}", some_ensemble())
    whole = path.read_bytes()
    for share in (0.0, 0.1, 0.6, 0.97):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InvalidInput, match="cut"):
            lft.read_configurations(path)


def test_a_turned_bit_is_noticed_in_raw_files(tmp_path):
    path = lft.write_configurations(tmp_path / "bits.bin", some_ensemble())
    content = bytearray(path.read_bytes())
    content[-20] ^= 4
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="checksum"):
        lft.read_configurations(path)


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        '{"format": "gemel-lattice", "version": 2}',
        '{"format": "gemel-lattice", "version": 1, "dtype": "object", "shape": [1, 1], "columns": [], "attributes": {}}',
        '{"format": "gemel-lattice", "version": 1, "dtype": "float64", "shape": [9, 99999999], "columns": [], "attributes": {}}',
        '{"format": "gemel-lattice", "version": 1, "dtype": "float64", "shape": "x", "columns": 1, "attributes": {}}',
    ],
)
def test_headers_that_lie_are_refused(tmp_path, line):
    path = tmp_path / "odd.txt"
    path.write_text(f"# {line}\n1.0\n")
    with pytest.raises(InvalidInput, match="odd"):
        lft.read_configurations(path)


def test_foreign_pickles_are_read_by_allow_list(tmp_path):
    links = np.random.default_rng(2).normal(size=(5, 2, 4, 4))
    for protocol in (2, 4, 5):
        path = tmp_path / f"theirs{protocol}.pkl"
        path.write_bytes(pickle.dumps({"cfgs": links, "action": np.zeros(5), "note": "x"}, protocol=protocol))
        assert same_bits(lft.read_configurations(path).field, links)
    single = tmp_path / "single.pickle"
    single.write_bytes(pickle.dumps(links.astype(np.float32)))
    assert lft.read_configurations(single).field.dtype == np.float64


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def test_pickles_that_call_something_are_refused_and_nothing_runs(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"cfgs": np.zeros((1, 2)), "x": Evil(str(mark))}))
    with pytest.raises(InvalidInput, match="not opened"):
        lft.read_configurations(path)
    assert not mark.exists()
    with pytest.raises(InvalidInput, match="only read"):
        lft.write_configurations(path, some_ensemble())


@pytest.mark.parametrize("content", [{"note": "x"}, np.array(["a"]), np.zeros(3), 5])
def test_pickles_without_fields_are_refused(tmp_path, content):
    path = tmp_path / "none.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InvalidInput):
        lft.read_configurations(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_full_disk_leaves_the_older_file(tmp_path, monkeypatch, suffix):
    path = lft.write_configurations(tmp_path / f"full{suffix}", some_ensemble())
    before = path.read_bytes()

    def no_room(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(StoreFull, match="full"):
        lft.write_configurations(path, lft.Ensemble(np.ones((2, 2))))
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_unknown_suffix_missing_file_and_odd_types_are_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"x\.npy"):
        lft.write_configurations(tmp_path / "x.npy", some_ensemble())
    with pytest.raises(InvalidInput, match=r"gone\.h5"):
        lft.read_configurations(tmp_path / "gone.h5")
    with pytest.raises(InvalidInput, match="float32"):
        lft.Ensemble(np.zeros((2, 2), dtype=np.float32))
    with pytest.raises(InvalidInput, match="'action'"):
        lft.Ensemble(np.zeros((2, 2)), {"action": np.zeros(3)})


def test_damaged_states_are_refused(tmp_path):
    state = lft.ChainState.fresh(np.random.default_rng(0).normal(size=(2, 16, 16)), 1)
    path = lft.save_state(tmp_path / "state.h5", state)
    found = lft.load_state(path)
    assert same_bits(found.field, state.field)
    assert (found.rng, found.step, found.trajectories) == (state.rng, state.step, state.trajectories)
    content = bytearray(path.read_bytes())
    where = bytes(content).find(state.field.tobytes()[:64])
    content[where + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"state\.h5"):
        lft.load_state(path)
    with h5py.File(path, "w"):
        pass
    with pytest.raises(InvalidInput, match="no state"):
        lft.load_state(path)
