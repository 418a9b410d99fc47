"""A lake that is killed at a hundred random moments has lost nothing that it said was done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

# One process forks a hundred others, lets each work on the lake for a random while, and kills it.
_SCRIPT = """
    import json, os, random, signal, sys, time
    from pathlib import Path
    sys.path[:0] = {paths!r}
    from lake_of_tests import Lake
    from gemel.base.errors import Conflict

    def work(seed: int) -> None:
        chance = random.Random(seed)
        lake = Lake({url!r}, Path({home!r}))
        diary = os.open({diary!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def done(**told) -> None:
            os.write(diary, (json.dumps(told) + "\\n").encode())
            os.fsync(diary)

        lake.datasets.sweep(stale=0.5)
        number = 0
        while True:
            number += 1
            name = f"chaos:{{seed}}-{{number}}"
            file = Path({folder!r}) / f"{{seed}}-{{number}}.bin"
            file.write_bytes(random.Random(f"{{seed}}-{{number}}").randbytes(chance.randrange(1, 300_000)))
            lake.datasets.put(file, name)
            done(put=name, file=str(file))
            present = [str(item.name) for item in lake.datasets.find()]
            other = chance.choice(present)
            act = chance.choice(["copy", "move", "queue", "remove", "verify", "back"])
            if act == "remove" and len(present) > 3:
                done(removing=other)
                lake.datasets.remove(other)
            elif act == "copy":
                lake.datasets.copy(other, "archive")
                done(copied=other)
            elif act in ("move", "back"):
                lake.datasets.move(other, "archive" if act == "move" else "home")
            elif act == "queue":
                lake.mover.request([other], "archive", only=chance.random() < 0.5)
                lake.settle()
            else:
                lake.datasets.verify([other])

    def told() -> int:
        return Path({diary!r}).read_bytes().count(b"\\n") if os.path.exists({diary!r}) else 0

    chance = random.Random(7)
    for seed in range(100):
        child = os.fork()
        if child == 0:
            try:
                work(seed)
            except BaseException as error:
                print("child", seed, type(error).__name__, error, file=sys.stderr, flush=True)
                os._exit(3)
        # A life ends at a random moment after none to three deeds, so that slow machines kill in the middle of work too.
        wanted, until = told() + chance.randrange(4), time.monotonic() + 20.0
        while told() < wanted and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(status, flush=True)
"""


def test_a_hundred_kills_at_random_moments_lose_nothing(lake, tmp_path):
    folder, diary = tmp_path / "in", tmp_path / "diary"
    folder.mkdir()
    paths = [str(Path(__file__).parents[1] / name) for name in ("datasets", "storages")]
    code = textwrap.dedent(_SCRIPT).format(
        paths=paths, url=str(lake.store.engine.url), home=str(lake.home), diary=str(diary), folder=str(folder)
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=os.environ)
    assert ended.returncode == 0, ended.stderr
    # Every one of them was killed while it worked; none had given up by itself.
    assert ended.stdout.split() == ["9"] * 100, ended.stderr
    told = [json.loads(line) for line in diary.read_text().splitlines() if line.endswith("}")]
    put = {item["put"]: Path(item["file"]) for item in told if "put" in item}
    gone = {item["removing"] for item in told if "removing" in item}
    assert len(put) > 50  # 150 deeds are waited for on average, and each round of them begins with a put
    lake.datasets.sweep(stale=-1)
    known = {str(record.name): record for record in lake.datasets.find()}
    assert set(put) - gone <= known.keys()
    assert {finding.outcome for finding in lake.datasets.verify(repair=False)} == {"good"}
    for name in put.keys() & known.keys():
        lake.datasets.fetch(name, tmp_path / "out.bin", replace=True)
        assert (tmp_path / "out.bin").read_bytes() == put[name].read_bytes()
    # No copy too many, and none that nobody knows of.
    assert sorted(lake.on_disk()) == sorted(
        lake.path(name, replica.storage) for name, record in known.items() for replica in record.replicas
    )
    for record in known.values():
        held = [replica.storage for replica in record.replicas]
        assert len(held) == len(set(held)) >= 1
