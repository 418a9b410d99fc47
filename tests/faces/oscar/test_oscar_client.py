"""The real client of OSCAR, in an environment of its own: create, list, run, follow, update, remove."""

from __future__ import annotations

import json
import subprocess

import pytest
from oscar_stage import FDL, FOLDER, SHOUT, oscar_python, served

__all__ = ["oscar_python", "served"]


@pytest.mark.parametrize("way", ["basic", "oidc"])
def test_oscar_python_does_its_whole_job(served, oscar_python, tmp_path, way):
    (tmp_path / "shout.yaml").write_text(FDL)
    (tmp_path / "shout.sh").write_text(SHOUT)
    command = [oscar_python, FOLDER / "foreign_talk.py", served.url, served.token, tmp_path, way]
    ended = subprocess.run([str(item) for item in command], capture_output=True, text=True, timeout=180)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["info"]["version"].startswith("gemel ") and told["health"] == 200
    assert told["created"] == 201 and told["listed"] == ["shout"]
    service = told["service"]
    assert len(service["token"]) == 64 and service["script"] == SHOUT and service["cpu"] == "0.5"
    assert service["memory"] == "256Mi" and service["environment"] == {"variables": {"PLACE": "the hall"}}
    assert "already present" in told["again"]
    assert told["output"] == "HELLO TWIN"
    assert told["job"] == 201 and {job["status"] for job in told["jobs"].values()} == {"Succeeded"}
    assert all({"creation_time", "start_time", "finish_time"} < set(job) for job in told["jobs"].values())
    assert told["log"] == "shouting in the hall\n"
    assert told["job removed"] == told["jobs removed"] == 204 and told["left"] == {}
    assert told["updated"] == 204 and told["soft"] == "softly: hush"
    assert "400" in told["gpu"] and "enable_gpu (no GPU is handed to a service)" in told["gpu"]
    assert told["config"] is None and told["status"] == 1
    assert told["removed"] == 204 and told["rest"] == []
