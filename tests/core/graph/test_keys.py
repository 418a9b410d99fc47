"""Keys: a step is computed anew exactly when something that decides its result has changed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gemel.core.graph import File, graph, process
from gemel.core.graph._code import code_digest, environment_of

BASE = '''
import functools
from dataclasses import dataclass
from enum import Enum

import numpy as np

from {package} import other

FACTOR = 2.0
TABLE = {{"a": 1.0, "b": [1, 2]}}
ARRAY = np.array([1.0, 2.0])
KINDS = frozenset({{"x", "y", "z", "rain", "snow"}})
state = {{}}


class Kind(Enum):
    SNOW = 1


@dataclass(frozen=True)
class Settings:
    melt: float = 3.0


SETTINGS = Settings()


def reached(x):
    return x + FACTOR


@functools.cache
def cached(x):
    return x - 1


class Model:
    def step(self, x):
        return self.inner(x)

    def inner(self, x):
        return x / 4


def unrelated(x):
    return x


def main(x, option=1.0):
    """What it does."""
    state["calls"] = 1
    kind = x in {{"p", "q", "r"}}
    y = reached(x) + cached(x) + Model().step(x) + TABLE["a"] + ARRAY[0] + SETTINGS.melt + Kind.SNOW.value
    return y if kind or x in KINDS else other.deeper(np.mean(y))
'''
OTHER = """
def deeper(x):
    return deepest(x)


def deepest(x):
    return x * 5


def aside(x):
    return x
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch):
    """Return a writer of a small package that imports it afresh and gives the digest of its `main`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    count = iter(range(1000))

    def digest(change: tuple[str, str] | None = None) -> str:
        package = "written_pkg"
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]
        main, other = BASE.format(package=package), OTHER
        if change is not None:
            assert change[0] in main + other
            main, other = main.replace(*change), other.replace(*change)
        folder = tmp_path / str(next(count)) / package
        folder.mkdir(parents=True)
        for name, text in {"__init__": "", "code": main, "other": other}.items():
            (folder / f"{name}.py").write_text(text)
        sys.path[0] = str(folder.parent)
        importlib.invalidate_caches()
        return code_digest(importlib.import_module(f"{package}.code").main)

    return digest


@pytest.mark.parametrize(
    "change",
    [
        ("return y if kind", "return -y if kind"),
        ("np.mean(y)", "np.max(y)"),  # the same byte code with another name in it
        ("option=1.0", "option=2.0"),
        ("FACTOR = 2.0", "FACTOR = 2.5"),
        ("x + FACTOR", "x * FACTOR"),
        ("x - 1", "x - 2"),
        ("x / 4", "x / 8"),
        ('"b": [1, 2]', '"b": [1, 3]'),
        ("np.array([1.0, 2.0])", "np.array([1.0, 2.5])"),
        ('"rain", "snow"', '"rain", "hail"'),
        ("melt: float = 3.0", "melt: float = 3.5"),
        ("SNOW = 1", "SNOW = 2"),
        ("x * 5", "x * 6"),
    ],
)
def test_a_change_in_what_is_reached_changes_the_digest(written, change):
    assert written() != written(change)


@pytest.mark.parametrize(
    "change",
    [
        ("def unrelated(x):\n    return x", "def unrelated(x):\n    return 0"),
        ("def aside(x):\n    return x", "def aside(x):\n    return 0"),
        ("What it does.", "What it does, said better."),
        ("def reached(x):\n", "def reached(x):\n    # a comment\n\n"),
        ("state = {}", "state = {1: 2}"),
    ],
)
def test_a_change_elsewhere_does_not(written, change):
    assert written() == written(change)


def test_the_digest_is_the_same_in_every_process(written, tmp_path):
    written()
    folder = sys.path[0]
    script = "import written_pkg.code as c; from gemel.core.graph._code import code_digest as d; print(d(c.main))"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": folder, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(digests) == 1


def test_the_environment_names_the_packages_reached(written):
    import numpy as np

    written()
    found = environment_of(sys.modules["written_pkg.code"].main)
    assert found["numpy"] == np.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:2]))
    assert "functools" not in found


def test_a_module_is_followed_by_what_is_used_of_it_alone():
    def uses(x):
        return subprocess.run

    assert "subprocess" not in environment_of(uses) and isinstance(subprocess, ModuleType)


def test_a_change_of_version_is_a_change_of_key(sqlite_bench):
    def triple(x: float) -> float:
        return 3 * x

    keys = []
    for version in ("1", "2"):
        tripled = process(triple, id="triple") if version == "1" else process(id="triple", version=version)(triple)

        @graph
        def built() -> float:
            return tripled(1.0)  # noqa: B023

        keys.append(sqlite_bench.run(built).steps[0].key)
    assert keys[0] != keys[1]


LINES: list[str] = []


@process
def count_lines(record: File) -> int:
    """The number of lines in a file."""
    LINES.append(str(record))
    return len(record.read_text().splitlines())


@graph
def counted(record: File) -> int:
    """Lines of a record."""
    return count_lines(record)


def test_the_content_of_a_file_decides_and_not_its_name(bench, home: Path):
    LINES.clear()
    first, second = home / "first.csv", home / "second.csv"
    first.write_text("a\nb\n")
    second.write_text("a\nb\n")
    assert bench.value(bench.run(counted, {"record": str(first)})) == 2
    assert bench.value(bench.run(counted, {"record": str(second)})) == 2
    assert len(LINES) == 1, "the same content under another name is the same input"
    first.write_text("a\nb\nc\n")
    assert bench.value(bench.run(counted, {"record": str(first)})) == 3
    assert bench.value(bench.run(counted, {"record": "first.csv"})) == 3, "relative to the twin's folder"
    assert len(LINES) == 2


def test_a_missing_file_is_told_with_its_step_before_anything_is_computed(sqlite_bench):
    run = sqlite_bench.run(counted, {"record": "nowhere.csv"})
    assert run.state == "failed"
    assert run.error["context"]["step"] == "count_lines1"
    assert "nowhere.csv" in run.error["message"]


def test_files_of_installed_packages_are_read_where_they_lie(sqlite_bench):
    run = sqlite_bench.run(counted, {"record": "package:gemel/base/ids.py"})
    assert sqlite_bench.value(run) > 10
