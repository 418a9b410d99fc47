"""The W3C's own JSON Schema takes every description, and the reference client (node-wot) lives by them."""

from __future__ import annotations

import json
import subprocess

import pytest
from wot_stage import FOLDER, node_wot, send_level, served

__all__ = ["node_wot", "served"]


@pytest.mark.slow
def test_node_wot_reads_invokes_and_subscribes(served, node_wot):
    send_level(served, 0, 3.0)
    command = ["node", FOLDER / "foreign.cjs", node_wot, served.url, served.token]
    ended = subprocess.run([str(item) for item in command], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["version"].startswith("1.1-") and told["invalid"] == [] and told["refused"] == [True, True]
    assert {"brook", "engine", "tank"} <= set(told["things"])
    read = told["read"]
    assert read["gauge.flow"]["value"] is None and read["gauge.flow"]["time"] == "2001-01-03T00:00:00Z"
    assert read["state"]["sequence"] == 3 and read["state"]["source"] == "/twins/brook/sources/gauge"
    assert read["state"]["clock"] == "2001-01-03T00:00:00Z" and "unknown" in read["state"]["uncertainty"]
    assert read["freshness"] in ("in-step", "late", "silent") and read["lag"] == {"waiting": 0, "seconds": 0}
    assert read["misfit"]["declared"] == "10 %" and read["misfit"]["diverged"] is False
    assert read["parameters"] == {"rain": 1, "warmth": 0, "length": 2}
    assert told["all"].keys() == read.keys() and told["all"]["state"] == read["state"]
    assert told["whatif"]["state"] == "finished" and told["whatif"]["parameters"]["rain"] == 2
    assert told["whatif"]["outputs"][0]["href"].startswith(served.url)
    assert told["run"]["graph"] == "forecast" and told["run"]["href"].startswith(f"{served.url}/api/v1/runs/")
    assert told["called"]["trigger"] == "noting" and told["again"]["id"] == told["called"]["id"]
    assert told["updated"]["type"] == "gemel.twin.updated" and told["updated"]["data"]["sequence"] >= 1
    assert told["observed"]["value"] == 6.5 and told["observed"]["unit"] == "m"
    assert told["alert"]["data"]["kind"] == "flood"
