"""Pages as documents: what they say, for any twin, in any state."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from synthetic import build
from synthetic_twin import TWIN, Synthetic

import gemel.ui
from gemel.ui._format import ago, moment, number, percent, unit_label
from gemel.ui._picture import picture
from gemel.ui._plume import peak, spoken

CASES = json.loads((Path(__file__).parent / "format_cases.json").read_text())
FUNCTIONS = {"unit": unit_label, "number": number, "percent": percent, "moment": moment, "ago": ago}
FOLDER = Path(gemel.ui.__file__).parent
DIST = FOLDER / "static" / "dist"
PATHS = ["/", "/twins", f"/twins/{TWIN}", f"/twins/{TWIN}/card", f"/twins/{TWIN}/report", "/runs/run-failed-0001"]


class Inline(HTMLParser):
    """Collects what a strict content policy would refuse, and ids used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.refused += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given and given.get("type") != "application/json"):
            self.refused.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))


@pytest.fixture
def twin() -> Synthetic:
    return Synthetic()


@pytest.fixture
def client(twin: Synthetic) -> Iterator[TestClient]:
    with TestClient(build(twin), headers={"Accept": "text/html"}) as client:
        yield client


@pytest.mark.parametrize(("kind", "value", "shown"), [(k, v, s) for k, cases in CASES.items() for v, s in cases])
def test_values_are_written_as_people_read_them(kind: str, value: Any, shown: str) -> None:
    assert FUNCTIONS[kind](value) == shown


@pytest.mark.parametrize("path", PATHS)
def test_pages_hold_nothing_inline_and_no_id_twice(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    reader = Inline()
    reader.feed(response.text)
    assert reader.refused == []
    assert len(reader.ids) == len(set(reader.ids))


def test_front_page_answers_with_number_interval_unit_and_time(client: TestClient, twin: Synthetic) -> None:
    text = client.get("/").text
    top = peak(twin.plume()["quantiles"])
    assert top is not None
    assert number(top.median) in text
    assert f"<b>{number(top.lower)} to {number(top.upper)}</b> m³/s" in text
    assert moment(top.time) in text
    assert "In step" in text


def test_peak_is_the_highest_median_with_the_interval_of_that_time() -> None:
    fan = {"time": ["a", "b", "c"], "levels": [0.1, 0.5, 0.9], "values": [[1, 2, None], [3, 5, None], [9, 7, None]]}
    top = peak(fan)
    assert top is not None
    assert (top.time, top.median, top.lower, top.upper) == ("b", 5, 2, 7)
    assert top.width == pytest.approx(0.8)
    assert peak({"time": [], "levels": [0.5], "values": [[]]}) is None


def test_still_picture_keeps_gaps_and_stays_in_its_frame(twin: Synthetic) -> None:
    view = twin.plume()
    view["observed"]["values"][-3] = None
    still = picture(view)
    assert still.observed.count("M") == 2
    heights = [
        float(y) for y in re.findall(r"[ML][-\d.]+ ([-\d.]+)", still.observed + still.median + "".join(still.bands))
    ]
    assert all(0 <= y <= 360 for y in heights)


@pytest.mark.parametrize(
    ("state", "words"), [("late", "Late"), ("silent", "has been silent"), ("not-live", "gemel up")]
)
def test_freshness_is_said_in_words(client: TestClient, twin: Synthetic, state: str, words: str) -> None:
    twin.state = state
    assert words in client.get("/").text


class Empty(Synthetic):
    """A twin that was installed and never ran, with a view of a kind nobody knows yet."""

    def views(self, twin: str, parameters: dict[str, float] | None = None) -> dict[str, Any]:
        return {"views": [{"id": "novel", "kind": "hologram", "title": "Novel"}]}

    def live(self, twin: str) -> dict[str, Any]:
        fresh = {"state": "not-live", "age_seconds": None, "sync": "1 d", "speed": None, "last_observation": None}
        counts = {"late_observations": 0, "duplicates": 0, "gaps": 0}
        return {"twin": TWIN, "clock": None, "freshness": fresh | counts, "misfit": None, "run": None, "sequence": 0}

    def runs(self, twin: str | None, limit: int) -> dict[str, Any]:
        return {"runs": []}

    def report(self, twin: str) -> dict[str, Any] | None:
        return None


def test_a_twin_that_never_ran_says_what_to_do() -> None:
    with TestClient(build(Empty())) as client:
        text = client.get("/").text
        assert "The first forecast appears here" in text
        assert "No runs yet" in text
        assert "hologram" in text
        assert client.get(f"/twins/{TWIN}/now").status_code == 200
        assert "has not been checked yet" in client.get(f"/twins/{TWIN}/report").text


class NoTwin(Synthetic):
    def twins(self) -> dict[str, Any]:
        return {"twins": []}


def test_an_engine_without_twins_says_how_to_make_one() -> None:
    with TestClient(build(NoTwin())) as client:
        assert "gemel new twin" in client.get("/").text


def test_an_unknown_twin_is_a_page_with_its_remedy(client: TestClient) -> None:
    response = client.get("/twins/nothing")
    assert response.status_code == 404
    assert "There is no twin" in response.text
    assert "gemel twins" in response.text


def test_a_failed_run_shows_cause_and_remedy_and_what_was_reused(client: TestClient) -> None:
    text = client.get("/runs/run-failed-0001").text
    assert "Step &#39;assimilate&#39; failed" in text
    assert "What to do: Mask the value" in text
    assert '<tr class="cached">' in text
    assert "one observation came 1 d late" in text


def test_text_from_a_twin_is_never_markup(twin: Synthetic) -> None:
    class Hostile(Synthetic):
        def twin(self, twin: str) -> dict[str, Any]:
            return {**super().twin(twin), "title": "<img src=x onerror=alert(1)>"}

        def plume(self, parameters: dict[str, float] | None = None) -> dict[str, Any]:
            return {**super().plume(parameters), "title": "</script><script>alert(1)</script>"}

    with TestClient(build(Hostile())) as client:
        text = client.get("/").text
    assert "<img src=x" not in text
    assert "<script>alert" not in text


def test_sentence_for_listeners_carries_time_value_unit_and_interval(twin: Synthetic) -> None:
    words = spoken(twin.plume())
    assert re.search(r"UTC: highest median [\d.]+\xa0m³/s on .+, 90\xa0% interval [\d.]+ to [\d.]+\.", words)


def test_scripts_stay_under_sixty_kilobytes_and_name_their_licences() -> None:
    scripts = b"".join(path.read_bytes() for path in sorted(DIST.glob("*.js")))
    assert len(gzip.compress(scripts, 9)) < 60_000
    notices = (DIST / "THIRD_PARTY_LICENSES.txt").read_text()
    for name in ("htmx.org", "lit", "uplot", "inter", "newsreader"):
        assert name in notices


def test_styles_load_nothing_from_elsewhere() -> None:
    styles = (DIST / "gemel.css").read_text()
    targets = re.findall(r"url\(([^)]+)\)", styles)
    assert targets
    assert all(target.strip("\"'").startswith("./") for target in targets)
    assert "@import" not in styles
