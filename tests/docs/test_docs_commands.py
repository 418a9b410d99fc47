"""The commands in README and tutorials do what the documents show, in a folder and an engine of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from consoles import Reader
from test_docs_pages import DOCS, ROOT, script

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("docs-commands")]


@pytest.fixture
def reader(tmp_path: Path, home: Path) -> Reader:
    folder = tmp_path / "reader"
    folder.mkdir()
    return Reader(folder, home)


def test_the_commands_in_the_readme_run(reader: Reader) -> None:
    assert reader.follow((ROOT / "README.md").read_text(encoding="utf-8")) >= 10


def test_the_storyline_of_developers_goes_as_told(reader: Reader) -> None:
    assert reader.follow((DOCS / "tutorial-developer.md").read_text(encoding="utf-8")) >= 25


def test_the_storyline_of_users_goes_as_told_and_the_figures_come_out_again(reader: Reader) -> None:
    assert reader.follow((DOCS / "tutorial-user.md").read_text(encoding="utf-8")) >= 12
    report = reader.printed["gemel check earlywarning"]
    lines = script(DOCS / "evidence/make_earlywarning.py").read()
    for line in lines:
        if line["figure"] == "check" and isinstance(line["value"], float):
            # Gains are small differences of scores; one in the third digit is what another machine's arithmetic may change.
            shown = next(text for text in report.splitlines() if line["title"].split(" (")[0] in text)
            value = float(
                next(word for word in shown.removeprefix("✓").split("  ") if word.strip()[:1].isdigit() and "." in word)
            )
            assert value == pytest.approx(line["value"], abs=0.005)


def test_the_commands_on_the_page_about_streams_run(reader: Reader) -> None:
    assert reader.follow((DOCS / "streams.md").read_text(encoding="utf-8")) >= 6


def test_the_commands_on_the_page_about_learning_run(reader: Reader) -> None:
    assert reader.follow((DOCS / "learning.md").read_text(encoding="utf-8")) >= 11
