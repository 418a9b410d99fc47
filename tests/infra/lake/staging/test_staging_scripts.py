"""Batch scripts that stage by themselves: run by the shell as a batch system runs them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from staging_stage import Node, document

from gemel.base.errors import InvalidInput
from gemel.infra.lake.staging import staged_script
from stage import up

HEAD = "#!/bin/bash\n#SBATCH --time=1\n"


def test_directives_stand_between_the_block_and_the_body() -> None:
    text = (
        f"{HEAD}# words\n#GEMEL in a:b 'in put.nc'\n\n#SBATCH --mem=1\n#GEMEL out x.nc a:x licence=CC0-1.0\n\nmodel\n"
    )
    lines = staged_script(text).splitlines()
    assert lines[:7] == text.splitlines()[:7]
    first = next(line for line in lines[7:] if not line.startswith("#"))
    assert "mktemp" in first
    assert lines.index("(") < lines.index("model") < lines.index(") <&0 &")
    assert any("'a:b='" in line or "a:b='in put.nc'" in line for line in lines)
    assert any("--licence CC0-1.0 x.nc=a:x" in line for line in lines)
    with pytest.raises(InvalidInput, match="already"):
        staged_script(staged_script(text))


@pytest.mark.parametrize(
    ("directive", "reason"),
    [
        ("#GEMEL in a:b", "1 words"),
        ("#GEMEL in a:b c d", "3 words"),
        ("#GEMEL out x", "1 words"),
        ("#GEMEL inn a:b c", "neither"),
        ("#GEMEL", "neither"),
        ("#GEMELin a:b c", "no directive"),
        ("#GEMEL in a:b 'c", "quotes"),
        ("#GEMEL in no-name c", "no name of a dataset"),
        ("#GEMEL out x a:b colour=red", "no option"),
        ("#GEMEL in a:b %z", "stands for nothing"),
        ("#GEMEL in a:b c%", "stands for nothing"),
    ],
)
def test_bad_directives_are_refused_with_their_line(directive: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"Line 3: .*{reason}"):
        staged_script(f"{HEAD}{directive}\nmodel\n")


def test_scripts_that_cannot_be_staged_are_refused() -> None:
    for text, reason in (
        ("#!/usr/bin/env python3\n#GEMEL in a:b c\n", "Line 1"),
        ("echo\n#GEMEL in a:b c\n", "Line 1"),
        (f"{HEAD}model\n#GEMEL in a:b c\n", "Line 4: a directive comes before"),
        (f"{HEAD}model\n", "no directive"),
        ("#!/bin/bash\r\n#GEMEL in a:b c\r\n", "DOS"),
        (f"{HEAD}#GEMEL out x a:b\n#GEMEL out y a:b\nmodel\n", "one name"),
    ):
        with pytest.raises(InvalidInput, match=reason):
            staged_script(text)


def staged(node: Node, text: str, **more: str) -> subprocess.CompletedProcess[str]:
    (node.folder / "job.sh").write_text(text)
    made = node.gemel("stage", "script", "job.sh", "--to", "staged.sh")
    assert made.returncode == 0, made.stderr
    return node.run("bash", "staged.sh", **more)


@pytest.mark.slow
def test_strange_names_ids_traps_and_exec_all_come_through(node: Node) -> None:
    node.put("a:rain µ 1.nc", b"rain")
    text = (
        f"{HEAD}#GEMEL in 'a:rain µ 1.nc' \"in/it's $HOME `x` é.nc\"\n"
        "#GEMEL out 'out put/%a é\"$.nc' 'b:flow %a 100%%.nc' licence=CC-BY-4.0 meta.variable='flow; rm -rf /' into=b:all\n"
        "set -eu\ntrap 'echo mine' EXIT\n"
        "cat << 'WORDS' > /dev/null\n) unbalanced (\nWORDS\n"
        "mkdir 'out put'\n"
        'cat in/* > "out put/$SLURM_ARRAY_TASK_ID é\\"\\$.nc"\n'
        "case x in x) echo case;; esac\nexec echo end # a comment"
    )
    done = staged(node, text, SLURM_ARRAY_TASK_ID="7", SLURM_JOB_ID="99", SLURM_JOB_NAME="my job")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["case", "end"]  # exec leaves no shell for the body's own trap
    assert [item.name for item in (node.folder / "in").iterdir()] == ["it's $HOME `x` é.nc"]
    assert node.content("b:flow 7 100%.nc") == b"rain"
    record = node.record("b:flow 7 100%.nc")
    assert (record.licence, record.metadata["variable"]) == ("CC-BY-4.0", "flow; rm -rf /")
    told = record.metadata["provenance"]
    assert (told["exit_code"], told["command"]) == (0, ["my job"])
    assert told["batch"] == {"job": "99", "array_task": "7", "job_name": "my job"}
    assert [item["name"] for item in told["inputs"]] == ["a:rain µ 1.nc"]
    assert "b:all" in node.names()


@pytest.mark.slow
def test_of_a_job_that_fails_nothing_is_registered_and_its_code_is_kept(node: Node, tmp_path: Path) -> None:
    node.put("a:rain", b"rain")
    body = "#GEMEL in a:rain rain\n#GEMEL out flow b:flow\ncp rain flow\nexit 9\n"
    assert staged(node, HEAD + body, TMPDIR=str(tmp_path)).returncode == 9
    assert staged(node, HEAD + body.replace("exit 9", "set -e; false; true"), TMPDIR=str(tmp_path)).returncode == 1
    assert node.names() == ["a:rain"]
    # A missing input, or a missing output, is an error of the job.
    assert staged(node, HEAD + body.replace("a:rain", "a:none"), TMPDIR=str(tmp_path)).returncode == 4
    assert staged(node, HEAD + body.replace("cp rain flow\nexit 9", "rm flow"), TMPDIR=str(tmp_path)).returncode == 4
    assert list(tmp_path.glob("gemel-job.*")) == []


@pytest.mark.slow
def test_the_verbs_work_on_the_command_line(node: Node) -> None:
    node.put("a:rain", b"rain")
    found = document(node.gemel("stage", "in", "a:rain=in/rain", "--json"))
    assert [item["done"] for item in found["inputs"]] == ["fetched"]
    words = ["stage", "run", "--in", "a:rain=in/rain", "--out", "flow=b:flow", "--json", "--"]
    found = document(node.gemel(*words, "sh", "-c", "echo said; cp in/rain flow"))
    assert (found["exit_code"], found["inputs"][0]["done"], found["outputs"][0]["done"]) == (0, "there", "registered")
    told = node.record("b:flow").metadata["provenance"]
    assert told["command"] == ["sh", "-c", "echo said; cp in/rain flow"]
    assert told["inputs"][0]["sha256"] == node.record("a:rain").digests["sha256"].value
    assert document(node.gemel("stage", "out", "flow=b:flow", "--json"))["outputs"][0]["done"] == "there"
    (node.folder / "flow").write_text("other")
    assert node.gemel("stage", "out", "flow=b:flow").returncode == 1
    assert node.gemel("stage", "run", "--out", "flow=b:other", "--", "sh", "-c", "exit 5").returncode == 5
    assert node.gemel("stage", "in", "a:none=x").returncode == 4


@pytest.mark.slow
def test_over_the_address_of_an_engine_it_is_the_same(node: Node, tmp_path: Path) -> None:
    node.put("a:rain", b"rain")
    with up(home=node.home, cwd=tmp_path) as (serving, _):
        url = {"GEMEL_URL": serving.url}
        words = ["stage", "run", "--in", "a:rain=in/rain", "--out", "flow=b:flow", "--into", "b:all", "--json", "--"]
        found = document(node.gemel(*words, "cp", "in/rain", "flow", **url))
        assert [item["done"] for item in (*found["inputs"], *found["outputs"])] == ["fetched", "registered"]
        assert document(node.gemel("stage", "out", "flow=b:flow", "--json", **url))["outputs"][0]["done"] == "there"
        assert document(node.gemel("stage", "in", "b:all=all", "--json", **url))["inputs"][0]["path"] == "all/flow"
        assert node.gemel("stage", "in", "a:none=x", **url).returncode == 4
    assert node.record("b:flow").metadata["provenance"]["command"] == ["cp", "in/rain", "flow"]
