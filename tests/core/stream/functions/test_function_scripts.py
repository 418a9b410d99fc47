"""Scripts as functions: OSCAR's contract, in a box of their own."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from function_work import at_work

from gemel.core.stream.functions import FunctionSpec
from gemel.infra.compute import confinement
from gemel.infra.store import open_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(confinement() != "bubblewrap", reason="bubblewrap does not work here (Debian `bubblewrap`)"),
]


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('scripts') / 'gemel.db'}")
    with at_work(store) as working:
        yield working
    store.close()


@pytest.fixture
def run(functions, request):
    def run(script: str, data: bytes = b"", **options):
        name = f"s{abs(hash(request.node.name))}-{len(functions.list())}"
        functions.deploy(FunctionSpec(name, script=script, **{"attempts": 1} | options))
        call = functions.invoke(name, data, wait=60)
        return call, functions.output(call.id), functions.logs(call.id)

    return run


def test_what_is_printed_is_the_result_where_no_file_is_left(run):
    call, output, log = run('echo "$(cat "$INPUT_FILE_PATH") $V"; echo aside >&2', b"hello", environment={"V": "you"})
    assert call.state == "finished" and output == b"hello you\n" and log == "hello you\naside\n"


def test_one_file_is_the_result_and_several_are_a_zip_of_them(run):
    _, output, _ = run('head -c 3 "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/x"; echo not this', b"\x00\xff\x01\x02")
    assert output == b"\x00\xff\x01"
    _, output, _ = run('cd "$TMP_OUTPUT_DIR"; mkdir d; printf one > a; printf two > d/b')
    with zipfile.ZipFile(io.BytesIO(output)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a": b"one", "d/b": b"two"}


def test_the_first_line_says_what_reads_the_script(run):
    _, output, _ = run("#!/usr/bin/env python3\nimport os\nprint(len(os.environ['JOB_UUID']))")
    assert output == b"31\n"
    _, output, _ = run("echo it\r\necho works\r\n")
    assert output == b"it\nworks\n"


def test_the_key_of_the_object_is_told(run):
    event = {"Key": "b/a+1", "Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "a+1"}}}]}
    assert run('printf %s "$STORAGE_OBJECT_KEY"', json.dumps(event).encode())[1] == b"a 1"
    assert run('printf %s "${STORAGE_OBJECT_KEY-none}"', b"{}")[1] == b"none"


def test_a_script_that_fails_says_how(run):
    call, output, log = run("echo before; echo 'no water' >&2; exit 3")
    assert call.state == "failed" and output is None and log == "before\nno water\n"
    assert call.error["message"] == "The script ended with exit code 3: no water."


def test_a_script_is_held_to_its_limits(run):
    call, _, log = run("echo begun; sleep 60", timeout=1.0)
    assert call.error["code"] == "function.timeout" and log == "begun\n"
    call, _, _ = run("head -c 11000000 /dev/zero")
    assert call.error["code"] == "function.too-large"
    call, _, _ = run('head -c 11000000 /dev/zero > "$TMP_OUTPUT_DIR/x"')
    assert call.error["code"] == "function.too-large"
    call, _, _ = run("#!/usr/bin/env python3\nbytearray(300_000_000)", memory=200_000_000)
    assert call.state == "failed" and "MemoryError" in call.error["message"]


def test_a_script_sees_nothing_of_this_machine(run, tmp_path):
    (tmp_path / "secret").write_text("secret")
    told = run(f"cat {tmp_path}/secret; ls /proc | grep -c '^[0-9]'; env | grep -c GEMEL; true")
    processes, ours = map(int, told[1].split())
    assert processes < 12 and ours == 0 and "No such file" in told[2]
    assert run("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' \\n'")[1] == b"lo"


def test_a_link_that_leads_elsewhere_is_no_result(run):
    call, output, _ = run('ln -s /etc/ld.so.cache "$TMP_OUTPUT_DIR/x"')
    assert call.state == "failed" and output is None
    call, output, _ = run('rmdir "$TMP_OUTPUT_DIR"; ln -s /etc "$TMP_OUTPUT_DIR"')
    assert call.state == "failed" and output is None
