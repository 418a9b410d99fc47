"""The documents say what is so: links lead somewhere, every key, code, route and command is there, figures are as measured."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from consoles import matches
from pydantic import BaseModel

from gemel.base import errors
from gemel.base.plugins import plugins
from gemel.cli._root import exit_code
from gemel.core.engine import Service, open_engine
from gemel.core.learn.models import Description
from gemel.core.stream import Replay
from gemel.core.twin import _manifest as manifest
from gemel.server import create_app
from gemel.server._problem import STATUS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CARD = ROOT / "src/gemel/twins/earlywarning/README.md"
PAGES = [ROOT / "README.md", CARD, *sorted(DOCS.rglob("*.md"))]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)


def script(path: Path) -> ModuleType:
    """Return a script of the documents as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def section(page: str, heading: str) -> str:
    """Return what stands below a heading of the second level."""
    _, _, rest = (DOCS / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert rest, f"{page} has no section '{heading}'"
    return rest.split("\n## ")[0]


def first_column(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", text, re.M)


def anchors(path: Path) -> set[str]:
    words = (re.sub(r"[^\w\- ]", "", found.lower()) for found in _HEADING.findall(path.read_text(encoding="utf-8")))
    return {word.strip().replace(" ", "-") for word in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        name, _, anchor = target.partition("#")
        if name.startswith(("http://", "https://")):
            continue
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def every_error(kind: type[errors.GemelError] = errors.GemelError) -> Iterator[type[errors.GemelError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from every_error(child)


def test_every_error_code_is_documented_with_its_status_and_exit_code() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    rows = {
        cells[0].strip("` "): cells for row in re.findall(r"^\| (`.*) \|$", page, re.M) if (cells := row.split(" | "))
    }
    tree = {kind.code: kind for kind in every_error()}
    assert rows.keys() == tree.keys()
    for code, kind in tree.items():
        _, classes, status, exit_status, means, remedy = rows[code]
        assert f"`{kind.__name__}`" in classes
        assert any(f"`{base.__name__}`" in classes for base in kind.__mro__[2:] if base.__module__ == "builtins") or (
            kind is errors.GemelError
        )
        # A code without a status of its own never reaches a client as such; the root is what the server says of itself.
        assert status == str(STATUS.get(code, 500 if kind is errors.GemelError else "–"))
        assert exit_status == str(exit_code(kind("")))
        assert len(means) > 10
        assert len(remedy) > 10


TABLES: dict[str, type[BaseModel]] = {
    "[twin]": manifest.TwinTable,
    "[physical]": manifest.PhysicalTable,
    "[sources.NAME]": manifest.SourceSpec,
    "[windows.NAME]": manifest.WindowTable,
    "[buffers.NAME]": manifest.BufferTable,
    "[alerts.NAME]": manifest.OutletSpec,
    "[parameters.NAME]": manifest.ParameterSpec,
    "[[triggers]]": manifest.TriggerSpec,
    "[[checks]]": manifest.CheckSpec,
    "[[views]]": manifest.ViewSpec,
}


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_of_twin_toml_is_documented_and_no_other(heading: str) -> None:
    text = section("twin-toml.md", heading)
    model = TABLES[heading]
    own, _, _ = text.partition("\nOptions of ")
    table = own.split("\n| kind |")[0]
    assert first_column(table) == list(model.model_fields)


@pytest.mark.parametrize("heading", TABLES)
def test_defaults_of_twin_toml_are_as_documented(heading: str) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| [^|]* \| ([^|]*) \|", section("twin-toml.md", heading), re.M)
    told = {name: default.strip("` ") for name, default in rows}
    for name, field in TABLES[heading].model_fields.items():
        if name not in told or told[name] in ("the id", "first graph"):
            continue
        known = {"": "empty", None: "none", True: "true", False: "false"}
        default = (
            "required"
            if field.is_required()
            else known.get(field.default if not isinstance(field.default, dict) else "")
        )
        assert told[name] == str(default or field.default), name


def test_options_of_the_other_sources_are_documented() -> None:
    table = section("twin-toml.md", "[sources.NAME]").split("\nThe options of ")[1]
    told = {
        kind: set(re.findall(r"`([^`]+)`", options))
        for kind, options in re.findall(r"^\| `([^`]+)` \| (.*) \|$", table, re.M)
    }
    known = {status.name for status in plugins("sources").status()} - {"replay"}
    assert told.keys() == known
    shared = {"format", "time", "fields", "id", "subject"}
    for kind, options in told.items():
        listed = (plugins("sources").get(kind).__doc__ or "").split("Options:")[1]
        names = re.findall(r"^ +((?:[a-z_]+, )*[a-z_]+): ", listed, re.M)
        assert options == {name for line in names for name in line.split(", ")} - shared, kind


def test_every_table_of_twin_toml_has_a_section() -> None:
    headings = re.findall(r"^## \[+([a-z]+)", (DOCS / "twin-toml.md").read_text(encoding="utf-8"), re.M)
    assert set(headings) == set(manifest.Manifest.model_fields)


def test_kinds_of_views_and_options_of_replay_are_documented() -> None:
    views = section("twin-toml.md", "[[views]]").split("\n| kind |")[1]
    assert set(first_column(views)) == set(get_args(manifest.ViewSpec.model_fields["kind"].annotation))
    options = section("twin-toml.md", "[sources.NAME]").split("\nOptions of ")[1].split("\nThe options of ")[0]
    assert all(f"    {name}:" in (Replay.__doc__ or "") for name in first_column(options))


def test_reference_of_the_command_line_is_current() -> None:
    maker = script(DOCS / "make_cli.py")
    assert maker.PAGE.read_text(encoding="utf-8") == maker.page(), "run: python docs/make_cli.py"


@pytest.fixture
def routes(home: Path) -> set[str]:
    with open_engine() as engine:
        paths: dict[str, Any] = create_app(Service(engine)).openapi()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_every_route_is_documented_and_no_other(routes: set[str]) -> None:
    assert set(first_column(section("reference/documents.md", "Routes"))) == routes


def test_figures_in_the_card_are_those_in_the_evidence() -> None:
    maker = script(DOCS / "evidence/make_earlywarning.py")
    card = CARD.read_text(encoding="utf-8")
    assert maker.written(card, maker.blocks(maker.read())) == card, f"run: {maker.COMMAND} --tables"


def test_figures_in_the_card_of_the_lattice_twin_are_those_in_the_evidence() -> None:
    maker = script(DOCS / "evidence/make_lattice.py")
    lines, card = maker.read(), maker.CARD.read_text(encoding="utf-8")
    assert maker.written(card, maker.blocks(lines)) == card, f"run: {maker.COMMAND} --tables"
    assert all({"figure", "command", "date", "seed", "gemel"} <= line.keys() for line in lines)
    # What the card says of its own accord: the mixture holds the bar with every seed, the flow alone does not.
    found = {
        kind: [line["ess"] for line in lines if line.get("of") == "u1_L16_b5" and line["kind"] == kind]
        for kind in ("flow", "mixture")
    }
    assert min(found["mixture"]) >= 0.7 > min(found["flow"])


def test_every_line_of_evidence_says_how_it_was_made() -> None:
    for line in script(DOCS / "evidence/make_earlywarning.py").read():
        assert {"figure", "command", "date", "seed", "gemel", "twin", "data"} <= line.keys()


def test_limits_that_the_card_names_are_in_the_evidence() -> None:
    lines = script(DOCS / "evidence/make_earlywarning.py").read()
    bins = [line for line in lines if line["figure"] == "reliability" and 0.6 < line["forecast"] < 0.9]
    assert bins
    assert all(line["observed"] < line["forecast"] - 0.05 for line in bins), "High probabilities are too high."
    second = [line for line in lines if line.get("basin") == "second basin"]
    assert all(line["coverage_50"] < 0.45 < 0.85 < line["coverage_90"] < 0.95 for line in second)
    process, hybrid = (line for line in lines if line["figure"] == "model")
    assert hybrid["nse"] > process["nse"]
    assert hybrid["kge"] < process["kge"], "By KGE the hybrid is not better."


def test_the_card_speaks_of_what_every_card_must() -> None:
    card = CARD.read_text(encoding="utf-8").lower()
    assert all(word in card for word in ("purpose", "data", "quality", "limits", "licence"))


def test_numbers_of_a_shown_line_must_be_near_and_words_equal() -> None:
    assert matches("1  154  182.1", "1    154.9    182.1")
    assert not matches("1  154  182.1", "1    160    182.1")
    assert not matches("river: passed", "river: not passed")
    assert matches("Run … of a: finished", "Run run-01m7z8axm63qa975mygjvparm7 of a: finished")
    assert matches("s1  finished  0.351", "s1  finished  12.2")


def test_every_key_of_a_model_in_twin_toml_is_documented() -> None:
    told = first_column(section("twin-toml.md", "[models.NAME]"))
    assert sorted(told) == sorted(field.name for field in dataclasses.fields(Description))
