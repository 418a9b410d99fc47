"""A cache keeps within its limit, loses nothing that is in use, and survives whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from gemel.base.errors import InvalidInput
from gemel.infra.lake._file_cache import FileCache


def of(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def run(script: str, folder: Path) -> subprocess.Popen[str]:
    """Start another process with the cache in `folder` as `cache`; it is spoken to by lines."""
    begin = "import sys\nfrom pathlib import Path\nfrom gemel.infra.lake._file_cache import FileCache\n"
    source = f"{begin}cache = FileCache(Path({str(folder)!r}), 1000)\n{textwrap.dedent(script)}"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", source], **pipes)  # type: ignore[call-overload]


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate()
    return process.returncode


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_file_is_filled_once_and_found_again(tmp_path: Path) -> None:
    cache, calls = FileCache(tmp_path / "cache", 1000), []

    def fill(path: Path) -> None:
        calls.append(path)
        path.write_bytes(b"rain")

    first, again = cache.kept("k1", "rain.nc", fill), cache.kept("k1", "rain.nc", fill)
    assert (first, first.read_bytes(), first.name, len(calls)) == (again, b"rain", "rain.nc", 1)
    assert cache.kept("k1", "rain.nc", of(b"snow"), renew=True).read_bytes() == b"snow"
    assert cache.size() == 4 and files(tmp_path) == [first]


def test_what_was_not_used_for_the_longest_time_goes_first(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", 1000)
    kept = {}
    for age, name in enumerate("abc"):
        kept[name] = cache.kept(name, "f", of(b"x" * 300))
        os.utime(kept[name], (1000.0 + age, 1000.0 + age))
    cache.kept("a", "f", of(b""))
    cache.kept("d", "f", of(b"x" * 300))
    assert [name for name in "abc" if kept[name].exists()] == ["a", "c"]
    assert cache.size() <= 1000


def test_a_file_in_use_elsewhere_is_not_pulled_away(tmp_path: Path) -> None:
    other = run(
        """
        print(cache.kept("held", "f", lambda path: path.write_bytes(b"h" * 400)), flush=True)
        sys.stdin.readline()
        """,
        tmp_path,
    )
    held = Path(said(other))
    os.utime(held, (1.0, 1.0))
    cache = FileCache(tmp_path, 1000)
    for number in range(6):
        cache.kept(f"new{number}", "f", of(b"x" * 400))
        assert held.exists()
    assert cache.size() <= 1200
    assert ended(other) == 0
    cache.kept("last", "f", of(b"x" * 400))
    assert not held.exists()
    assert cache.size() <= 1000


def test_a_path_that_was_handed_out_stays_while_half_the_limit_is_not_exceeded(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 1000)
    mine = cache.kept("mine", "f", of(b"m" * 200))
    os.utime(mine, (1.0, 1.0))
    for number in range(2):
        cache.kept(f"n{number}", "f", of(b"x" * 100))
    other = run('[cache.kept(f"o{i}", "f", lambda path: path.write_bytes(b"x" * 300)) for i in range(8)]', tmp_path)
    assert ended(other) == 0
    assert mine.read_bytes() == b"m" * 200


@pytest.mark.chaos
def test_a_process_killed_while_it_fills_leaves_nothing_and_holds_up_nobody(tmp_path: Path) -> None:
    script = """
        def fill(path):
            path.write_bytes(b"half")
            print("half", flush=True)
            sys.stdin.readline()
        cache.kept("key", "f", fill)
        """
    other = run(script, tmp_path)
    assert said(other) == "half"
    assert b"half" in {path.read_bytes() for path in files(tmp_path)}
    other.send_signal(signal.SIGKILL)
    assert ended(other) == -signal.SIGKILL
    cache = FileCache(tmp_path, 1000)
    cache.kept("another", "f", of(b"x"))
    assert {path.read_bytes() for path in files(tmp_path)} == {b"x"}
    assert cache.kept("key", "f", of(b"whole")).read_bytes() == b"whole"


@pytest.mark.chaos
def test_a_killed_reader_gives_its_file_back(tmp_path: Path) -> None:
    other = run(
        'print(cache.kept("k", "f", lambda path: path.write_bytes(b"h" * 900)), flush=True); sys.stdin.readline()',
        tmp_path,
    )
    held = Path(said(other))
    other.send_signal(signal.SIGKILL)
    ended(other)
    os.utime(held, (1.0, 1.0))
    FileCache(tmp_path, 1000).kept("new", "f", of(b"x" * 900))
    assert not held.exists()


def test_two_processes_fill_a_file_once(tmp_path: Path) -> None:
    script = """
        def fill(path):
            path.write_bytes(b"x")
            print("filled", flush=True)
            sys.stdin.readline()
        cache.kept("key", "f", fill)
        print("done", flush=True)
        """
    first = run(script, tmp_path)
    assert said(first) == "filled"
    second = run(script, tmp_path)
    first.communicate("\n")
    assert said(second) == "done"
    assert ended(second) == 0


def test_threads_that_want_the_same_get_the_same(tmp_path: Path) -> None:
    cache, calls, found = FileCache(tmp_path, 1 << 20), [], []

    def fill(path: Path) -> None:
        calls.append(path)
        path.write_bytes(b"x" * 1000)

    def want(number: int) -> None:
        found.append(cache.kept(f"k{number % 3}", "f", fill).read_bytes())

    threads = [threading.Thread(target=want, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(calls), set(found)) == (3, {b"x" * 1000})


def test_a_fill_that_fails_keeps_nothing(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 1000)

    def fill(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("the source broke off")

    with pytest.raises(OSError, match="broke off"):
        cache.kept("key", "f", fill)
    with pytest.raises(FileNotFoundError):
        cache.kept("key", "f", lambda path: None)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("key", "name"), [("../x", "f"), ("", "f"), ("k", "../f"), ("k", ""), ("k", "a/b"), (".k", "f")]
)
def test_keys_and_names_cannot_lead_out(key: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        FileCache(tmp_path / "cache", 1000).kept(key, name, of(b"x"))
    assert files(tmp_path) == []


@hypothesis.settings(max_examples=30, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(steps=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 600)), min_size=1, max_size=30))
def test_the_limit_holds_whatever_is_asked_for(steps: list[tuple[int, int]], tmp_path: Path) -> None:
    """The file that is handed out last is there; all together stay below the limit, as no file is larger than it."""
    cache = FileCache(tmp_path, 1000)
    for key, size in steps:
        path = cache.kept(f"k{key}", "f", of(b"x" * size), renew=True)
        assert path.stat().st_size == size
        assert cache.size() <= 1000
