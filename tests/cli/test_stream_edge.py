"""`gemel stream edge`: what a source at the far end tells arrives in the engine, filtered, each once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from stage import PATIENCE, environment, gemel, serving, until

sys.path.append(str(Path(__file__).parents[1] / "core" / "engine"))
from tank_stage import write_tank

SAID = """
to = "{url}/api/v1/twins/tank/sources/level/events"
token = "file:{token}"

[source]
kind = "folder"
path = "{inbox}"
content = "rows"
settle = "0 s"
every = "100 ms"

[filters]
deadband = {{ level = 0.5 }}
"""


@pytest.mark.slow
def test_what_is_told_at_the_edge_arrives_filtered_and_once(home, tmp_path):
    write_tank(home / "twins")
    inbox, token = tmp_path / "inbox", tmp_path / "token"
    inbox.mkdir()
    with open_engine(load_settings(home=home)) as engine, serving(Service(engine)) as server:
        engine.go_live(engine.twin("tank"))
        token.write_text(server.token)
        (tmp_path / "edge.toml").write_text(SAID.format(url=server.url, token=token, inbox=inbox))
        rows = ["time,level", *(f"2024-01-01T00:{minute:02d}:00Z,{minute * 0.3}" for minute in range(20))]
        (inbox / "levels.csv").write_text("\n".join(rows) + "\n")
        for expected in (10, 11):  # the second station, on the same folder, sends only what is new
            command = [sys.executable, "-m", "gemel", "stream", "edge", "edge.toml", "--json"]
            station = subprocess.Popen(command, env=environment(home), cwd=tmp_path, stdout=subprocess.PIPE, text=True)
            try:
                until(lambda count=expected: len(engine.log.read("twins/tank/level")) == count)
            finally:
                station.send_signal(signal.SIGTERM)
            told, _ = station.communicate(timeout=PATIENCE)
            assert json.loads(told)["waiting"] == 0
            (inbox / "more.csv").write_text("time,level\n2024-01-01T01:00:00Z,100.0\n")
        found = [event.data["level"] for event in engine.log.read("twins/tank/level")]
    assert found == pytest.approx([*(0.6 * number for number in range(10)), 100.0])


def test_a_file_that_makes_no_sense_is_refused(home, tmp_path):
    (tmp_path / "edge.toml").write_text('to = "http://x"\nfrom = "there"\n[source]\nkind = "mqtt"\n')
    refused = gemel("stream", "edge", "edge.toml", "--json", home=home, cwd=tmp_path)
    assert refused.returncode == 1 and "from" in json.loads(refused.stdout)["error"]["message"]
