"""New twins, instances on own data, crates that others open and nobody tampers with, versions that never change."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.jwk import OKPKey
from rocrate.rocrate import ROCrate

from gemel.base.config import load_settings
from gemel.base.errors import CheckFailed, Conflict, GemelError, InvalidInput, NotFound, OutOfBounds, ResultCorrupt
from gemel.base.ids import canonical_json
from gemel.core.engine import Engine, open_engine
from gemel.core.twin import Repository, load_twin, new_instance, new_twin, pack, unpack
from stage import environment, write_brook, write_flows


@pytest.fixture
def engine(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_engine(load_settings(home=home)) as opened:
        yield opened


@pytest.fixture(scope="module")
def key() -> OKPKey:
    return OKPKey.generate_key("Ed25519")


@pytest.fixture
def crate(tmp_path, key) -> Path:
    target = tmp_path / "brook.zip"
    pack(load_twin(write_brook(tmp_path / "made", [1.0])), target, key, {"passed": True})
    return target


# New twins and instances


def test_a_new_twin_runs_and_passes_its_own_checks(engine: Engine, tmp_path):
    folder = new_twin("my-river2", tmp_path)
    twin = load_twin(folder)
    run = engine.finish(engine.start(twin))
    assert run.state == "finished", run.error
    storage = engine.output(run, "storage")["storage"]
    assert storage.attrs["units"] == "mm" and float(storage.min()) > 0
    report = engine.check(twin)
    assert report.passed, report.checks
    (plume,) = [view for view in engine.views(twin, run) if view["kind"] == "plume"]
    assert plume["unit"] == "mm" and len(plume["quantiles"]["time"]) == 10 and "waiting" not in plume
    assert engine.publish(twin)[2] is True


def test_the_tests_of_a_new_twin_pass(tmp_path, home):
    folder = new_twin("river", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(home), capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", ["", "River", "1river", "a/b", "../x", "ri ver", "x" * 64, "é"])
def test_a_name_that_cannot_be_an_id_is_refused_and_nothing_is_made(tmp_path, name):
    with pytest.raises(InvalidInput):
        new_twin(name, tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_what_is_there_is_never_overwritten(tmp_path):
    (tmp_path / "river").mkdir()
    (tmp_path / "river" / "mine.txt").write_text("x")
    with pytest.raises(Conflict):
        new_twin("river", tmp_path)
    assert [path.name for path in (tmp_path / "river").iterdir()] == ["mine.txt"]


def test_an_instance_is_bound_to_own_data_with_parameters_and_settings_changed(engine: Engine, tmp_path):
    parent = load_twin(write_brook(tmp_path / "parents", [1.0, 2.0]))
    write_flows(tmp_path / "own.csv", [10.0, 20.0, 30.0])
    folder = new_instance(
        "mine",
        tmp_path / "elsewhere",
        parent,
        {"record": str(tmp_path / "own.csv")},
        {"rain": "50 %", "side": str(tmp_path / "other-side")},
    )
    twin = load_twin(folder)
    assert twin.id == "mine" and twin.manifest.parameters["rain"].default == 0.5
    assert twin.manifest.parameters["rain"].maximum == 3.0, "bounds are those of the parent"
    assert twin.content != parent.content
    engine.go_live(twin).wait_finished()
    state = engine.states.latest("mine")
    found = engine.results.load(engine.results.get(state.document["state"]["from_result"]))
    assert found == {"days": 3, "total": 60.0, "flow": 30.0}
    assert (tmp_path / "other-side").exists() and engine.states.latest("brook") is None


@pytest.mark.parametrize(
    ("datasets", "parameters", "error", "says"),
    [
        ({"recrd": "x.csv"}, {}, InvalidInput, "'recrd'"),
        ({}, {"rian": 1.0}, InvalidInput, "'rian'"),
        ({}, {"rain": 9.0}, OutOfBounds, "'rain'"),
        ({}, {"length": "3 kg"}, GemelError, "'length'"),
    ],
)
def test_an_instance_that_makes_no_sense_leaves_nothing_behind(tmp_path, datasets, parameters, error, says):
    parent = load_twin(write_brook(tmp_path / "parents"))
    with pytest.raises(error, match=says):
        new_instance("mine", tmp_path / "here", parent, datasets, parameters)
    assert not (tmp_path / "here" / "mine").exists()


def test_an_instance_follows_its_parent(tmp_path):
    parent = write_brook(tmp_path)
    folder = new_instance("mine", tmp_path, load_twin(parent), {}, {})
    before = load_twin(folder).content
    code = (parent / "twin.py").read_text()
    (parent / "twin.py").write_text(code + "\n# one more line\n")
    assert load_twin(folder).content != before


# Crates


def test_a_crate_comes_out_as_it_went_in(tmp_path, crate):
    said = unpack(crate, tmp_path / "out")
    twin, original = load_twin(tmp_path / "out"), load_twin(tmp_path / "made" / "brook")
    assert (said.id, said.version, said.content) == ("brook", "1.2.3", original.content)
    for path in (tmp_path / "made" / "brook").rglob("*.*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert (tmp_path / "out" / path.relative_to(tmp_path / "made" / "brook")).read_bytes() == path.read_bytes()
    assert set(twin.graphs) == set(original.graphs)


def test_others_open_it_as_an_ro_crate(tmp_path, crate):
    with zipfile.ZipFile(crate) as archive:
        archive.extractall(tmp_path / "seen")
    seen = ROCrate(tmp_path / "seen")
    assert seen.name == "A synthetic brook" and seen.root_dataset["version"] == "1.2.3"
    assert str(seen.license) == "Apache-2.0" or seen.license == "Apache-2.0"
    files = {entity.id for entity in seen.get_by_type("File")}
    assert {"twin.toml", "twin.py", "README.md", "gauge.csv", "report.json"} <= files
    assert len(seen.dereference("twin.py")["sha256"]) == 64


def test_the_same_content_packs_to_the_same_files(tmp_path, crate, key):
    pack(load_twin(tmp_path / "made" / "brook"), tmp_path / "again.zip", key, {"passed": True})
    with zipfile.ZipFile(crate) as one, zipfile.ZipFile(tmp_path / "again.zip") as other:
        assert one.namelist() == other.namelist()
        assert one.read("twin.py") == other.read("twin.py")


def rewritten(crate: Path, change) -> Path:
    """Return a copy of the crate whose members went through `change(name, data)`; None drops one."""
    target = crate.with_name("changed.zip")
    with zipfile.ZipFile(crate) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            data = change(name, source.read(name))
            if data is not None:
                copy.writestr(name, data)
    return target


def resigned(crate: Path, key: OKPKey, change) -> Path:
    """Return a copy whose manifest went through `change` and was signed by `key`."""

    def sign(name: str, data: bytes) -> bytes:
        if name != "gemel-signature.json":
            return data
        document = json.loads(data)
        manifest = json.loads(jws.extract_compact(document["signature"].encode()).payload)
        signed = jws.serialize_compact({"alg": "Ed25519"}, canonical_json(change(manifest)), key, ["Ed25519"])
        return json.dumps({"signature": signed, "key": key.as_dict(private=False)}).encode()

    return rewritten(crate, sign)


def test_a_changed_file_is_detected(tmp_path, crate):
    changed = rewritten(crate, lambda name, data: data + b"\n# more" if name == "twin.py" else data)
    with pytest.raises(ResultCorrupt, match=r"twin\.py"):
        unpack(changed, tmp_path / "out")


def test_a_file_taken_out_is_detected(tmp_path, crate):
    changed = rewritten(crate, lambda name, data: None if name == "twin.py" else data)
    with pytest.raises(ResultCorrupt, match=r"twin\.py"):
        unpack(changed, tmp_path / "out")


def test_a_file_slipped_in_is_not_unpacked(tmp_path, crate):
    with zipfile.ZipFile(crate, "a") as archive:
        archive.writestr("evil.py", "x")
    unpack(crate, tmp_path / "out")
    assert not (tmp_path / "out" / "evil.py").exists()


def test_a_signature_that_does_not_fit_is_detected(tmp_path, crate, key):
    other = OKPKey.generate_key("Ed25519")

    def swap(name: str, data: bytes) -> bytes:
        if name != "gemel-signature.json":
            return data
        return json.dumps(json.loads(data) | {"key": other.as_dict(private=False)}).encode()

    with pytest.raises(ResultCorrupt, match="signature"):
        unpack(rewritten(crate, swap), tmp_path / "out")
    for broken in (b"", b"{}", b"[]", b'{"signature": 1, "key": {}}', b'{"signature": "a.b.c", "key": {"kty": "OKP"}}'):
        with pytest.raises((InvalidInput, ResultCorrupt)):
            unpack(
                rewritten(crate, lambda name, data, bad=broken: bad if name == "gemel-signature.json" else data),
                tmp_path / "out",
            )
    with pytest.raises(InvalidInput):
        unpack(rewritten(crate, lambda name, data: None if name == "gemel-signature.json" else data), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../evil.py", "/tmp/gemel-evil.py", "a/../../evil.py"])
def test_a_crate_cannot_write_outside_its_folder(tmp_path, crate, key, name):
    changed = resigned(crate, key, lambda manifest: manifest | {"files": {name: "0" * 64}})
    with pytest.raises(InvalidInput, match="outside"):
        unpack(changed, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep" / "evil.py").exists() and not (tmp_path / "evil.py").exists()


def test_what_is_no_crate_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InvalidInput, match=r"a\.zip"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(InvalidInput):
        unpack(tmp_path / "missing.zip", tmp_path / "out")


# Publishing


def test_nothing_is_published_unless_its_checks_pass_on_exactly_this(engine: Engine, tmp_path):
    folder = write_brook(tmp_path)
    with pytest.raises(CheckFailed, match="not been checked"):
        engine.publish(load_twin(folder))
    assert engine.check(load_twin(folder)).passed
    (folder / "more.txt").write_text("changed after the check")
    with pytest.raises(CheckFailed, match="as it is now"):
        engine.publish(load_twin(folder))
    (folder / "more.txt").unlink()
    assert engine.publish(load_twin(folder))[2] is True
    text = (folder / "twin.toml").read_text()
    (folder / "twin.toml").write_text(text.replace("bar = 0.5", "bar = -1.0"))
    assert not engine.check(load_twin(folder)).passed
    with pytest.raises(CheckFailed, match="did not pass"):
        engine.publish(load_twin(folder))


def published(engine: Engine, folder: Path):
    assert engine.check(load_twin(folder)).passed
    return engine.publish(load_twin(folder))


def test_a_published_version_never_changes(engine: Engine, tmp_path):
    folder = write_brook(tmp_path)
    crate, path, new = published(engine, folder)
    before = path.read_bytes()
    assert new and published(engine, folder)[2] is False
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nmore\n")
    with pytest.raises(Conflict, match=r"1\.2\.3"):
        published(engine, folder)
    assert path.read_bytes() == before
    text = (folder / "twin.toml").read_text()
    (folder / "twin.toml").write_text(text.replace('version = "1.2.3"', 'version = "1.10.0-rc.1"'))
    assert published(engine, folder)[2] is True
    (folder / "twin.toml").write_text(text.replace('version = "1.2.3"', 'version = "1.10.0"'))
    published(engine, folder)
    (folder / "twin.toml").write_text(text.replace('version = "1.2.3"', 'version = "1.9.0"'))
    published(engine, folder)
    assert engine.repository.versions("brook") == ["1.2.3", "1.9.0", "1.10.0-rc.1", "1.10.0"]
    assert crate.key == engine.pull("brook", "1.2.3").key


def test_what_is_pulled_runs_and_replaces_what_was_pulled_before(engine: Engine, tmp_path, monkeypatch):
    folder = write_brook(tmp_path / "made")
    published(engine, folder)
    text = (folder / "twin.toml").read_text()
    (folder / "twin.toml").write_text(text.replace('version = "1.2.3"', 'version = "2.0.0"'))
    (folder / "added.txt").write_text("x")
    published(engine, folder)
    assert engine.pull("brook").version == "2.0.0"
    pulled = engine.twin("brook")
    assert pulled.origin == "pulled" and pulled.content == load_twin(folder).content
    assert engine.finish(engine.start(pulled)).state == "finished"
    assert engine.pull("brook", "1.2.3").version == "1.2.3"
    assert not (pulled.folder / "added.txt").exists() and engine.twin("brook").manifest.twin.version == "1.2.3"
    with pytest.raises(NotFound, match=r"9\.9\.9"):
        engine.pull("brook", "9.9.9")
    with pytest.raises(NotFound) as lost:
        engine.pull("brok")
    assert "'brook'" in lost.value.hint


def test_a_damaged_crate_in_the_repository_is_not_pulled(engine: Engine, tmp_path):
    folder = write_brook(tmp_path / "made")
    _, path, _ = published(engine, folder)
    changed = rewritten(path, lambda name, data: data + b"#" if name == "twin.py" else data)
    changed.replace(path)
    with pytest.raises(ResultCorrupt):
        engine.pull("brook")
    with pytest.raises(NotFound):
        engine.twin("brook")
    assert list((engine.settings.home / "twins").iterdir()) == []


def test_several_publish_at_once_and_one_version_appears_whole(tmp_path, home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    twin = load_twin(write_brook(tmp_path))
    with open_engine(load_settings(home=home)) as first, open_engine(load_settings(home=home)) as second:
        assert first.check(twin).passed
        with ThreadPoolExecutor(6) as pool:
            done = list(pool.map(lambda number: (first, second)[number % 2].publish(twin), range(6)))
    assert [new for _, _, new in done].count(True) == 1
    assert len({crate.key for crate, _, _ in done}) == 1, "all signed with the one key of this home"
    repository = Repository(home / "repository")
    assert repository.versions("brook") == ["1.2.3"]
    assert [path.name for path in (home / "repository" / "brook").iterdir()] == ["brook-1.2.3.crate.zip"]
    assert unpack(repository.path("brook", "1.2.3"), tmp_path / "out").content == twin.content
    assert (home / "signing-key.pem").stat().st_mode & 0o077 == 0
