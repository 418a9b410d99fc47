"""The real client of ECMWF, in an environment of its own: notify, listen, replay, discover, and be refused."""

from __future__ import annotations

import json
import os
import subprocess

from aviso_stage import FOLDER, pyaviso, served, tell

__all__ = ["pyaviso", "served"]


def test_pyaviso_does_its_whole_job(served, pyaviso, tmp_path):
    first = tell(served, "twins/brook", "u1", "gemel.twin.updated", sequence=1)
    tell(served, "twins/brook", "a1", "gemel.twin.alert", event="flood", place="Mill", probability=0.9)
    tell(served, "lake", "d1", "gemel.dataset.new", name="fulda:rain.nc", type="new", number=1)
    command = [pyaviso, FOLDER / "foreign_aviso.py", f"{served.url}/aviso", served.token, first]
    alone = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ended = subprocess.run([str(item) for item in command], capture_output=True, text=True, timeout=180, env=alone)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["notified"]["status"] == "success" and len(told["notified"]["request_id"]) == 36
    assert told["replayed"] == [
        ["river", 1, {"gauge": "mill", "step": "6"}, {"flow": 1.5}],
        ["river", 2, {"gauge": "weir", "step": "12"}, "dry"],
        ["river", 3, {"gauge": "mill", "step": "18"}, None],
    ]
    # What the client calls a start is the last one that it knows; an end is the last one that it wants.
    assert told["from second"] == [3] and told["until second"] == [1, 2]
    assert told["since"] == [1, 2, 3] and told["until long ago"] == []
    assert told["mill"] == [1, 3] and told["early"] == [1, 2]
    assert told["history then live"] == [2, 3, [1, 2]]
    assert [item[2:] for item in told["live"]] == [[{"gauge": "live"}, {"flow": 7.5}]] * 2
    assert told["async"] == [{"flow": 1.5}, None]
    (alert,) = told["alerts"]
    assert alert["identifier"] == {"twin": "brook", "type": "alert", "event": "flood", "place": "Mill"}
    assert alert["payload"]["id"] == "a1" and alert["payload"]["data"]["probability"] == 0.9
    assert (
        alert["cloudevent"]["source"] == f"{served.url}/aviso" and alert["cloudevent"]["type"] == "int.ecmwf.aviso.twin"
    )
    assert told["datasets"] == [{"name": "fulda:rain.nc", "scope": "fulda", "type": "new"}]
    assert told["schema"]["event_types"] == ["dataset", "twin", "river"] and told["schema"]["total_schemas"] == 3
    assert told["schema of twin"]["schema"]["identifier"]["twin"]["required"] is True
    assert told["basic"] == "success"
    statuses = {"wrong token": 401, "no token": 401, "unknown": 400, "unknown replay": 400, "unknown schema": 404}
    statuses |= {"unknown twin": 400, "no twin": 400, "ours": 403, "wipe": 403}
    assert {name: told[name][2] for name in statuses} == statuses
    assert told["wrong listener"][0] == "AuthError"
    assert "UNKNOWN_EVENT_TYPE" in told["unknown"][1] and "UNAUTHORIZED" in told["no token"][1]
