"""Staged scripts on a real Slurm of one node on loopback, in a private folder."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from staging_stage import Node

from stage import until

pytestmark = pytest.mark.slow
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
_CONF = """\
ClusterName=tests
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
SelectTypeParameters=CR_Core_Memory
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


@dataclass
class Slurm:
    """A Slurm that runs."""

    conf: Path

    def submit(self, node: Node, script: str, *options: str) -> str:
        """Return the id of a job made of a script with directives, submitted as it is."""
        (node.folder / "job.sh").write_text(script)
        made = node.gemel("stage", "script", "job.sh", "--to", "staged.sh")
        assert made.returncode == 0, made.stderr
        done = node.run("sbatch", "--parsable", *options, "staged.sh", SLURM_CONF=str(self.conf))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ended(self, job: str) -> dict[str, str]:
        """Return what the controller says of a job once it has ended."""

        def told() -> dict[str, str]:
            command = ["scontrol", "-o", "show", "job", job]
            done = subprocess.run(
                command, env=os.environ | {"SLURM_CONF": str(self.conf)}, capture_output=True, text=True, check=True
            )
            found = dict(word.split("=", 1) for word in done.stdout.splitlines()[0].split() if "=" in word)
            return found if found["JobState"] in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT") else {}

        return dict(until(told))


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} of Debian's slurm-wlm and munge are not installed")
    folder = tmp_path_factory.mktemp("slurm")
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
    with contextlib.ExitStack() as stack:
        for command in (munged, ["slurmctld", "-D", "-i"], ["slurmd", "-D", "-N", "n1"]):
            if command[0] == "slurmctld":
                until((folder / "munge.sock").exists)
            stack.enter_context(_running(command, folder, conf))
        until(lambda: _idle(conf))
        yield Slurm(conf)


@contextlib.contextmanager
def _running(command: list[str], folder: Path, conf: Path) -> Iterator[None]:
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
    done = subprocess.run(
        ["sinfo", "-h", "-o", "%T"],
        env=os.environ | {"SLURM_CONF": str(conf)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() == "idle"


SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=flow
#SBATCH --output=job-%j.out
#GEMEL in 'a:rain µ.nc' 'in/rain µ.nc'
#GEMEL out 'out µ.nc' 'b:flow.nc' licence=CC-BY-4.0 into=b:all
set -eu
cp 'in/rain µ.nc' 'out µ.nc'
"""


def test_a_job_gets_its_inputs_and_its_outputs_get_names(slurm: Slurm, node: Node) -> None:
    node.put("a:rain µ.nc", b"rain")
    job = slurm.submit(node, SCRIPT)
    said = (node.folder / f"job-{job}.out").read_text if slurm.ended(job) else None
    assert said is not None
    ended = slurm.ended(job)
    assert (ended["JobState"], ended["ExitCode"]) == ("COMPLETED", "0:0"), said()
    assert node.content("b:flow.nc") == b"rain"
    told = node.record("b:flow.nc").metadata["provenance"]
    assert told["batch"]["job"] == job
    assert (told["batch"]["job_name"], told["command"], told["exit_code"]) == ("flow", ["flow"], 0)
    assert told["inputs"][0]["sha256"] == node.record("a:rain µ.nc").digests["sha256"].value
    assert "b:all" in node.names()


def test_a_job_that_fails_keeps_its_code_and_registers_nothing(slurm: Slurm, node: Node) -> None:
    node.put("a:rain µ.nc", b"rain")
    job = slurm.submit(node, SCRIPT + "exit 7\n")
    ended = slurm.ended(job)
    assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "7:0")
    assert node.names() == ["a:rain µ.nc"]


def test_a_job_without_its_input_does_not_begin(slurm: Slurm, node: Node) -> None:
    job = slurm.submit(node, SCRIPT)
    ended = slurm.ended(job)
    assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "4:0")
    assert not (node.folder / "out µ.nc").exists()


def test_every_task_of_an_array_registers_its_own_output(slurm: Slurm, node: Node) -> None:
    node.put("a:rain µ.nc", b"rain")
    script = SCRIPT.replace("'out µ.nc' 'b:flow.nc'", "'out %a.nc' 'b:flow-%A-%a.nc'")
    script = script.replace("'in/rain µ.nc'", "'in %a/rain µ.nc'", 1)
    script = script.replace(
        "cp 'in/rain µ.nc' 'out µ.nc'", 'cp "in $SLURM_ARRAY_TASK_ID"/* "out $SLURM_ARRAY_TASK_ID.nc"'
    )
    job = slurm.submit(node, script, "--array=1-4")
    states = {slurm.ended(f"{job}_{number}")["JobState"] for number in range(1, 5)}
    assert states == {"COMPLETED"}, [item.read_text() for item in node.folder.glob("job-*.out")]
    assert {f"b:flow-{job}-{number}.nc" for number in range(1, 5)} <= set(node.names())
    assert node.record(f"b:flow-{job}-3.nc").metadata["provenance"]["batch"]["array_task"] == "3"


def test_a_job_that_is_cancelled_registers_nothing(slurm: Slurm, node: Node) -> None:
    node.put("a:rain µ.nc", b"rain")
    job = slurm.submit(node, SCRIPT + "touch begun\nsleep 600\n")
    until((node.folder / "begun").exists)
    subprocess.run(["scancel", job], env=os.environ | {"SLURM_CONF": str(slurm.conf)}, check=True)
    assert slurm.ended(job)["JobState"] == "CANCELLED"
    # Until the last process of the job is gone, something might still be registered.
    until(lambda: slurm.ended(job).get("JobState") == "CANCELLED" and not _at_work(slurm))
    assert node.names() == ["a:rain µ.nc"]


def test_a_signal_before_the_end_reaches_the_body(slurm: Slurm, node: Node) -> None:
    node.put("a:rain µ.nc", b"rain")
    body = "trap 'echo checkpoint > told; exit 0' USR1\ntouch begun\nwhile :; do sleep 0.1; done\n"
    job = slurm.submit(node, SCRIPT + body)
    until((node.folder / "begun").exists)
    command = ["scancel", "--batch", "--signal=USR1", job]
    subprocess.run(command, env=os.environ | {"SLURM_CONF": str(slurm.conf)}, check=True)
    assert slurm.ended(job)["JobState"] == "COMPLETED"
    assert (node.folder / "told").read_text() == "checkpoint\n"
    assert "b:flow.nc" in node.names()


def _at_work(slurm: Slurm) -> bool:
    command = ["squeue", "-h", "-t", "RUNNING,COMPLETING", "-o", "%i"]
    done = subprocess.run(
        command, env=os.environ | {"SLURM_CONF": str(slurm.conf)}, capture_output=True, text=True, check=True
    )
    return bool(done.stdout.strip())
