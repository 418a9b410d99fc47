"""CWL tools as processes and from the command line: what they get, give, and may not do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from gemel.base.errors import GemelError, InvalidInput, NotFound, StepTimeout
from gemel.core.graph import Sandbox, Surroundings, within
from gemel.core.processes.cwl import run_cwl_tool
from gemel.infra.compute import confinement
from gemel.infra.lake import ContentStore
from stage import gemel

pytest.importorskip("cwltool", reason="cwltool is not installed: pip install 'gemel[cwl]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(confinement() != "bubblewrap", reason="bubblewrap is not installed or may not be used"),
]


def _tool(folder: Path, body: str, name: str = "tool.cwl") -> Path:
    path = folder / name
    path.write_text(f"cwlVersion: v1.2\nclass: CommandLineTool\n{body}")
    return path


def _shell(folder: Path, script: str, outputs: str, more: str = "") -> Path:
    body = f"""
requirements:
  ShellCommandRequirement: {{}}
  InlineJavascriptRequirement: {{}}
{more}
arguments: [{{shellQuote: false, valueFrom: {json.dumps(script)}}}]
inputs: {{number: int?}}
outputs: {outputs}
"""
    return _tool(folder, body)


def _run(home: Path, tool: Path, inputs: dict[str, Any] | None = None, output: str | None = None, **limits: Any) -> Any:
    with within(Surroundings(home, sandbox=Sandbox(**limits))):
        return run_cwl_tool.function(tool, inputs, output)


_TEXT = "{out: {type: string, outputBinding: {glob: o.txt, loadContents: true, outputEval: '$(self[0].contents)'}}}"
_FILE = "{out: {type: File, outputBinding: {glob: o.txt}}}"


def test_a_cube_goes_in_and_comes_out_as_netcdf(tmp_path):
    tool = _tool(
        tmp_path,
        "baseCommand: cp\ninputs: {cube: {type: File, inputBinding: {position: 1}}}\narguments: [{position: 2, valueFrom: o.nc}]\n"
        "outputs: {copy: {type: File, outputBinding: {glob: o.nc}}}\n",
    )
    cube = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("y", "x"), name="depth", attrs={"units": "m"})
    xr.testing.assert_identical(_run(tmp_path, tool, {"cube": cube}), cube)


def test_numbers_texts_and_named_outputs(tmp_path):
    outputs = "{n: {type: int, outputBinding: {outputEval: '$(inputs.number * 2)'}}, f: {type: File, outputBinding: {glob: o.bin}}}"
    tool = _shell(tmp_path, "printf abc > o.bin", outputs)
    both = _run(tmp_path, tool, {"number": 4})
    assert both["n"] == 8
    assert ContentStore(tmp_path / "results").path(both["f"]["gemel:digest"]).read_bytes() == b"abc"
    assert _run(tmp_path, tool, {"number": 4}, "n") == 8
    with pytest.raises(NotFound, match="no output of the tool"):
        _run(tmp_path, tool, {"number": 4}, "m")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("ln -s /usr/bin/env o.txt", "link to something outside"),
        ("ln -s /etc/passwd o.txt", "o.txt"),
        ("cat /etc/passwd > o.txt", "No such file"),
        ("echo hello > /usr/o.txt", "o.txt"),
        ("exit 3", "failed"),
        ("true", "o.txt"),
    ],
)
def test_what_a_tool_may_not_do(tmp_path, script, told):
    with pytest.raises(InvalidInput, match=told):
        _run(tmp_path, _shell(tmp_path, script, _FILE))
    assert not Path("/usr/o.txt").exists()


def test_a_tool_sees_neither_network_nor_secrets_unless_it_asks_for_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("GEMEL_SECRET", "secret")
    (tmp_path / "token").write_text("secret")
    script = f"(wc -l < /proc/net/dev; env; cat {tmp_path.parent}/x 2>&1) > o.txt; true"
    alone = _run(tmp_path, _shell(tmp_path, script, _TEXT))
    assert alone.splitlines()[0].strip() == "3"  # two lines of heading, and the loopback
    assert "secret" not in alone
    outside = len(Path("/proc/net/dev").read_text().splitlines())
    asking = _shell(tmp_path, script, _TEXT, "  NetworkAccess: {networkAccess: true}")
    assert _run(tmp_path, asking).splitlines()[0].strip() == str(outside)


def test_a_tool_that_runs_too_long_is_stopped(tmp_path):
    with pytest.raises(StepTimeout, match="limit of 4 s"):
        _run(tmp_path, _shell(tmp_path, "while :; do :; done", _FILE), seconds=4.0)


def test_a_document_that_is_none_is_refused(tmp_path):
    path = tmp_path / "tool.cwl"
    for text in ("class: [", "just words", "cwlVersion: v1.2\nclass: CommandLineTool\ninputs: 4\n"):
        path.write_text(text)
        with pytest.raises(GemelError, match=r"tool\.cwl"):
            _run(tmp_path, path)


def test_from_the_command_line_a_job_gives_the_inputs(tmp_path):
    _tool(
        tmp_path,
        "baseCommand: [tr, a-z, A-Z]\nstdin: $(inputs.text.path)\nstdout: loud.bin\ninputs: {text: File}\noutputs: {loud: stdout}\n",
    )
    (tmp_path / "quiet.txt").write_text("rain\n")
    (tmp_path / "job.yml").write_text("text: {class: File, path: quiet.txt}\n")
    arguments = ("run", "tool.cwl", "job.yml", "--save", "out", "--json")
    ended = gemel(*arguments, home=tmp_path / "home", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["state"] == "finished"
    assert (tmp_path / "out" / "loud.bin").read_text() == "RAIN\n"
    again = json.loads(gemel(*arguments, home=tmp_path / "home", cwd=tmp_path).stdout)
    assert again["steps"][0]["cached"]
    missing = gemel("run", "tool.cwl", "nojob.yml", home=tmp_path / "home", cwd=tmp_path)
    assert missing.returncode == 4
