"""`twin.toml` and `twin.py`: what is wrong is named with file and place, and with what was probably meant."""

from __future__ import annotations

import pytest

from gemel.base.errors import NotFound, TwinInvalid
from gemel.core.twin import find_twin, known_twins, load_twin
from stage import write_brook


def refused(folder) -> str:
    with pytest.raises(TwinInvalid) as error:
        load_twin(folder)
    return f"{error.value.message} {error.value.hint or ''}"


def test_a_twin_is_read_with_everything_it_says(tmp_path):
    twin = load_twin(write_brook(tmp_path))
    assert (twin.id, twin.main, twin.manifest.twin.version) == ("brook", "forecast", "1.2.3")
    assert set(twin.graphs) == {"update", "forecast", "held", "failing", "validate"}
    assert twin.manifest.parameters["length"].slider is False
    assert twin.manifest.checks[0].options == {"bar": 0.5} and "**Purpose.**" in twin.card()


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ('title = "A synthetic brook"', 'titel = "A synthetic brook"', "[twin.titel]", "Did you mean 'title'?"),
        ("[parameters.rain]", "[parametres.rain]", "[parametres]", "Did you mean 'parameters'?"),
        ("minimum = 0.0\nmaximum", "minimun = 0.0\nmaximum", "[parameters.rain.minimun]", "Did you mean 'minimum'?"),
        ('unit = "K"', 'unit = "kelvins per banana"', "[parameters.warmth.unit]", "is not a unit"),
        ("default = 1.0", "default = 4.0", "[parameters.rain]", "default 4 lies outside its own bounds"),
        ("minimum = -5.0", "minimum = 9.0", "[parameters.warmth]", "minimum 9 is above maximum 5"),
        ("default = 1.0", 'default = "one"', "[parameters.rain.default]", "number"),
        ('version = "1.2.3"', 'version = "1.2"', "[twin.version]", "pattern"),
        ('id = "brook"', 'id = "Brook Nr 1"', "[twin.id]", "pattern"),
        ('sync = "1 d"', 'sync = "daily"', "[physical.sync]", "not a duration"),
        ('flow = "10 %"', 'flow = "good"', "[physical.fidelity]", "not a number"),
        ('flow = "10 %"', 'flow = "10 bananas"', "[physical.fidelity]", "not a unit"),
        ('kind = "plume"', 'kind = "map3d"', "[views.0.kind]", "plume"),
        ('run = "update"', 'runs = "update"', "[triggers.0.runs]", "Did you mean 'run'?"),
        ('kind = "maximum"\n', "", "[checks.0.kind]", "required"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_place(tmp_path, old, new, place, says):
    folder = write_brook(tmp_path, **{old: new})
    told = refused(folder)
    assert str(folder / "twin.toml") in told and place in told and says in told


def test_every_problem_is_told_at_once(tmp_path):
    folder = write_brook(tmp_path, **{'unit = "K"': 'unit = "banana"', 'sync = "1 d"': 'sync = "often"'})
    told = refused(folder)
    assert "[parameters.warmth.unit]" in told and "[physical.sync]" in told


def test_what_is_not_toml_is_named_with_its_line(tmp_path):
    folder = write_brook(tmp_path, **{'title = "A synthetic brook"': "title = A synthetic brook"})
    assert "twin.toml is not TOML" in refused(folder) and "line 4" in refused(folder)


def test_files_that_are_missing_or_unreadable_are_named(tmp_path):
    folder = write_brook(tmp_path)
    (folder / "twin.toml").write_bytes(b"\xff\xfe\x00")
    assert "twin.toml cannot be read" in refused(folder)
    (folder / "twin.toml").unlink()
    assert "has no twin.toml" in refused(folder) and "gemel new twin" in refused(folder)
    other = write_brook(tmp_path / "other")
    (other / "twin.py").unlink()
    assert "has no twin.py" in refused(other)


def edited(folder, old: str, new: str):
    code = (folder / "twin.py").read_text()
    assert old in code
    (folder / "twin.py").write_text(code.replace(old, new, 1))
    return next(number for number, line in enumerate((folder / "twin.py").read_text().splitlines(), 1) if new in line)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('return {"nothing": broken(rain)}', "return {nothing: = 1}", "SyntaxError"),
        ("import numpy as np", "import numpyy as np", "ModuleNotFoundError"),
        ("import numpy as np", "import numpy as np; 1 / 0", "ZeroDivisionError"),
        ("import numpy as np", "import numpy as np; undefined()", "NameError"),
    ],
)
def test_code_that_does_not_load_is_named_with_its_line(tmp_path, old, new, says):
    folder = write_brook(tmp_path)
    line = edited(folder, old, new)
    told = refused(folder)
    assert str(folder / "twin.py") in told and f"line {line}" in told and says in told


def test_code_without_a_graph_and_a_graph_that_is_not_there(tmp_path):
    folder = write_brook(tmp_path)
    (folder / "twin.py").write_text("x = 1\n")
    assert "holds no graph" in refused(folder) and "@graph" in refused(folder)
    other = write_brook(tmp_path / "other")
    with (other / "twin.toml").open("a") as stream:
        stream.write('\n[graphs]\nforecast = "forcast"\n')
    assert "[graphs.forecast]" in refused(other) and "'forcast'" in refused(other)


def test_an_edited_twin_is_another_content_and_caches_are_none(tmp_path):
    folder = write_brook(tmp_path)
    before = load_twin(folder).content
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    (folder / ".hidden").write_text("x")
    assert load_twin(folder).content == before
    (folder / "more.txt").write_text("x")
    assert load_twin(folder).content != before


def test_twins_are_found_here_in_given_folders_and_among_plugins(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    write_brook(here)
    write_brook(there)
    (there / "brook").rename(there / "river")
    assert find_twin("brook", near=here).folder == here / "brook"
    assert find_twin("river", near=here, folders=[there]).origin == "pulled"
    assert find_twin(str(there / "river"), near=here).folder == there / "river"
    assert find_twin("earlywarning", near=here).origin == "plugin"
    with pytest.raises(NotFound) as lost:
        find_twin("brok", near=here, folders=[there])
    assert "'brook'" in lost.value.hint
    names = [name for _, name, _ in known_twins(near=here, folders=[there])]
    assert names == ["brook", "earlywarning", "lattice", "river"]


def test_a_malformed_twin_hides_no_other(tmp_path):
    write_brook(tmp_path)
    write_brook(tmp_path / "x", **{'version = "1.2.3"': 'version = "one"'})
    (tmp_path / "x" / "brook").rename(tmp_path / "wrong")
    found = {name: (twin, problem) for twin, name, problem in known_twins(near=tmp_path)}
    assert found["brook"][0] is not None
    assert found["wrong"][0] is None and "version" in found["wrong"][1]


def test_instances_that_lead_in_a_circle_are_refused(tmp_path):
    for name, of in (("one", "two"), ("two", "one"), ("self", "self")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "twin.toml").write_text(f'[twin]\nid = "{name}"\nof = "{of}"\n')
    for name in ("one", "self"):
        assert "instance" in refused(tmp_path / name)
