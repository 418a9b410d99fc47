"""Events of 1 kB from one process to another, durable, acknowledged and shared by a group: beside JetStream in one run.

JetStream and the embedded log with `synced="second"` hand an acknowledged event to the operating system and sync the
disk later (JetStream every two minutes, ours every second); with `synced="commit"` each commit is synced before it is
acknowledged, which JetStream does not do. JetStream pushes to a queue group with an acknowledgement each (its quickest
way), and is pulled from by 500, its way with the least state.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench._environment import BUILD
from bench._report import progress, report

COUNT, PACED, PER_SECOND, ROUNDS = 60_000, 2_000, 500, 5
KINDS = ("second", "commit", "push", "pull")


def events() -> None:
    """Measure in interleaved rounds on one disk; the first round of each warms up and does not count."""
    server = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")
    if server is None:
        progress("events: nats-server is not installed, nothing is measured")
        return
    BUILD.mkdir(exist_ok=True)
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    middles: dict[str, list[float]] = {kind: [] for kind in KINDS}
    tails: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(ROUNDS + 1):
        for kind in KINDS:
            progress(f"events: round {number} of {ROUNDS}, {kind}")
            rate, _, _ = one_round(server, kind, COUNT, 0)
            _, middle, tail = one_round(server, kind, PACED, PER_SECOND)
            if number:
                rates[kind].append(rate)
                middles[kind].append(middle)
                tails[kind].append(tail)
    version = subprocess.run([server, "-v"], capture_output=True, text=True, check=True).stdout.split()[-1]
    for ours in ("second", "commit"):
        for peer in ("push", "pull"):
            name = f"JetStream {version}, {peer}, synced every 2 minutes"
            more = {"ours_synced": ours, "rounds": ROUNDS}
            report("events-rate", rates[ours], rates[peer], "events/s", name, bar=">= 3", events=COUNT, **more)
            report("events-p50", middles[ours], middles[peer], "ms", name, bar="<= 1", per_second=PER_SECOND, **more)
            report("events-p99", tails[ours], tails[peer], "ms", name, per_second=PER_SECOND, **more)


def one_round(server: str, kind: str, count: int, per_second: int) -> tuple[float, float, float]:
    """Return events a second, and the latencies' p50 and p99 in ms, between two processes and an empty log."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-events-", dir=BUILD)))
        if kind in ("push", "pull"):
            address = stack.enter_context(nats(server, folder))
        else:
            address = f"sqlite:///{folder / 'gemel.db'}#{kind}"
        how = "gemel" if kind in ("second", "commit") else kind
        roles = ("consumer", "producer")
        ends = {role: stack.enter_context(end(how, address, role, count, per_second)) for role in roles}
        for process in ends.values():
            print(file=process.stdin, flush=True)
        answers = {role: json.loads(process.stdout.readline()) for role, process in ends.items()}  # type: ignore[union-attr]
    _, ended, middle, tail = answers["consumer"]
    return count / (ended - answers["producer"][0]), middle, tail


@contextmanager
def end(how: str, address: str, role: str, count: int, per_second: int) -> Iterator[subprocess.Popen[str]]:
    """Yield a producer or consumer that is ready."""
    command = [sys.executable, "-m", "bench._run_events", how, address, role, str(count), str(per_second)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        if process.stdout.readline().strip() != "ready":
            sys.exit(f"{how} {role} did not start")
        yield process
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@contextmanager
def nats(server: str, folder: Path) -> Iterator[str]:
    """Yield the address of a server with an empty file store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with (folder / "log").open("wb") as log:
        command = [server, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "data")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield f"nats://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
