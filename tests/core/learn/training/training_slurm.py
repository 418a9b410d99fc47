"""A real Slurm of one node on loopback with two CPUs, in a private folder."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stage import until

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
_CONF = """\
ClusterName=learning
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d-%n.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/d-%n.log
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=100000
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node} CPUs=2 RealMemory=1000
PartitionName=all Nodes=n1 Default=YES State=UP MaxTime=INFINITE
"""
_OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


@dataclass
class Slurm:
    """A Slurm that runs."""

    conf: Path

    def run(self, *command: str, **more: str) -> str:
        """Return what one of its commands prints."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        environment = kept | {"SLURM_CONF": str(self.conf)} | more
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def submit(self, script: str, folder: Path, environment: dict[str, str]) -> str:
        """Return the id of the job of a script."""
        (folder / "job.sh").write_text(script)
        (folder / "run").mkdir(exist_ok=True)
        return self.run("sbatch", "--parsable", str(folder / "job.sh"), **environment)

    def told(self, job: str) -> dict[str, str]:
        """Return what the controller says of a job."""
        line = self.run("scontrol", "-o", "show", "job", job).splitlines()[0]
        return dict(word.split("=", 1) for word in line.split() if "=" in word)

    def ended(self, job: str) -> dict[str, str]:
        """Return what the controller says of a job once it has ended."""

        def over() -> dict[str, str]:
            found = self.told(job)
            return found if found["JobState"] in _OVER else {}

        return dict(until(over, 120))

    def until_gone(self, job: str, condition: Callable[[], bool]) -> None:
        """Wait for a condition while a job runs."""

        def held() -> bool:
            found = self.told(job)
            assert found["JobState"] not in _OVER, Path(found["StdOut"]).read_text()
            return condition()

        until(held, 120)


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Slurm]:
    """Yield a Slurm that has its node idle."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} of Debian's slurm-wlm and munge are not installed")
    (folder / "state").mkdir()
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    conf, host = folder / "slurm.conf", socket.gethostname().partition(".")[0]
    facts = {"folder": folder, "host": host, "user": getpass.getuser(), "controller": _port(), "node": _port()}
    conf.write_text(_CONF.format(**facts))
    munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock"]
    munged += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    running = Slurm(conf)
    with contextlib.ExitStack() as stack:
        for command in (munged, ["slurmctld", "-D", "-i"], ["slurmd", "-D", "-N", "n1"]):
            if command[0] == "slurmctld":
                until((folder / "munge.sock").exists)
            stack.enter_context(_process(command, folder, conf))
        until(lambda: _idle(conf))
        try:
            yield running
        finally:
            running.run("scancel", "--signal=KILL", "--full", f"--user={getpass.getuser()}")
            running.run("scancel", f"--user={getpass.getuser()}")
            until(lambda: not running.run("squeue", "-h"))


@contextlib.contextmanager
def _process(command: list[str], folder: Path, conf: Path) -> Iterator[None]:
    with (folder / f"{command[0]}.out").open("w") as out:
        process = subprocess.Popen(command, env=os.environ | {"SLURM_CONF": str(conf)}, stdout=out, stderr=out)
    try:
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _idle(conf: Path) -> bool:
    command = ["sinfo", "-h", "-o", "%T"]
    environment = os.environ | {"SLURM_CONF": str(conf)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip() == "idle"


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
