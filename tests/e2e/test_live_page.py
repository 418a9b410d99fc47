"""The demo as a newcomer meets it: the whole job once, then the page of the living twin in a real browser."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

from stage import Serving, checked_home, copy_home, gemel, trained_home, until, up

# One worker trains and checks once for all of these.
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("earlywarning")]
CHROMIUM = os.environ.get("GEMEL_CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
WAIT = 60_000  # milliseconds; the record is played at a day a second


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield the running demo, as `make demo` starts it, where the job was done once before."""
    home = copy_home(checked_home()[0], tmp_path_factory.mktemp("demo") / "home")
    with up("--demo", home=home, cwd=home) as (served, _process):
        yield served


@dataclass
class Seen:
    """A page, and everything it complained about or asked of others."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@pytest.fixture
def seen(demo: Serving) -> Iterator[Seen]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium, or name one in GEMEL_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        found = Seen(browser.new_context(reduced_motion="reduce").new_page())
        found.page.on("console", lambda m: m.type in ("error", "warning") and found.complaints.append(m.text))
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("request", lambda asked: asked.url.startswith(demo.url) or found.foreign.append(asked.url))
        found.page.goto(demo.url)
        yield found
        browser.close()


def test_the_demo_does_its_whole_job_once_and_says_where_it_lies():
    home, ended = checked_home()
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 1
    document = json.loads(ended.stdout)
    assert document["twin"] == "earlywarning" and document["graph"] == "update" and document["state"] == "finished"
    assert document["report"]["passed"] and all(check["passed"] for check in document["report"]["checks"])
    folder = Path(document["folder"])
    assert folder.is_relative_to(home)
    written = {path.name for path in folder.iterdir()}
    assert {"forecast.nc", "alerts.json", "indicators.json", "doubt.nc", "misfit.json"} <= written
    assert "Traceback" not in ended.stderr


def test_the_page_signs_its_owner_in_and_lives(seen):
    page = seen.page
    expect(page.locator(".link.live")).to_have_text("live", timeout=WAIT)
    expect(page.locator("gemel-plume canvas").first).to_be_visible(timeout=WAIT)
    clock = page.locator('[data-live="clock"]')
    issued = page.locator("gemel-plume").first
    before, was = clock.inner_text(), issued.get_attribute("data-issued")
    expect(clock).not_to_have_text(before, timeout=WAIT)
    expect(issued).not_to_have_attribute("data-issued", was or "", timeout=WAIT)
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert cookies["gemel_token"]["httpOnly"] and cookies["gemel_token"]["sameSite"] == "Strict"
    assert seen.complaints == [] and seen.foreign == []


def test_a_slider_answers_with_another_plume_beside_the_baseline(seen):
    page = seen.page
    expect(page.locator("gemel-plume canvas").first).to_be_visible(timeout=WAIT)
    slider = page.locator('.slider[data-name="rain"] input[type="range"]')
    slider.focus()
    for _ in range(20):
        slider.press("ArrowRight")
    answer = page.locator(".whatif-answer")
    expect(answer.locator(".peak .was")).to_be_visible(timeout=WAIT)
    expect(answer.locator(".took")).to_contain_text("Answered in")
    expect(page.locator(".legend")).to_contain_text("what-if: median")
    assert answer.locator(".peak").inner_text() != answer.locator(".peak .was").inner_text()
    page.get_by_role("button", name="Back to live").click()
    expect(page.locator(".legend")).not_to_contain_text("what-if")
    assert seen.complaints == []


def test_nothing_stands_in_anyones_way(seen):
    expect(seen.page.locator("gemel-plume canvas").first).to_be_visible(timeout=WAIT)
    violations = Axe().run(seen.page).response["violations"]
    assert [f"{found['id']}: {[node['target'] for node in found['nodes']]}" for found in violations] == []


def test_the_quality_line_shows_figures_of_the_report(seen, demo):
    with demo.client() as client:
        views = client.get("/api/v1/twins/earlywarning/views").json()["views"]
    (quality,) = [view for view in views if view["kind"] == "quality"]
    assert quality["passed"] is True and "NSE" in quality["line"]
    expect(seen.page.get_by_text("NSE", exact=False).first).to_be_visible(timeout=WAIT)


def test_command_line_and_page_talk_to_the_same_engine(demo):
    ended = gemel(
        "--url", demo.url, "whatif", "earlywarning", "--set", "rain=1.3", "--json", home=demo.home, cwd=demo.home
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    run = json.loads(ended.stdout)
    assert run["state"] == "finished" and run["parameters"]["rain"] == 1.3
    with demo.client() as client:
        assert client.get(f"/api/v1/runs/{run['id']}").json()["id"] == run["id"]
        assert client.get(f"/runs/{run['id']}").status_code == 200


def test_ctrl_c_stops_the_engine_and_the_next_start_goes_on(tmp_path):
    home = copy_home(trained_home(), tmp_path / "home")

    def sequence(served: Serving) -> int:
        with served.client() as client:
            return int(client.get("/api/v1/twins/earlywarning/live").json()["sequence"])

    with up("--demo", home=home, cwd=home) as (served, process):
        reached = until(lambda: sequence(served) >= 2 and sequence(served))
        process.send_signal(signal.SIGINT)
        # The checks are still being made in the background, by steps that take longer than anybody waits.
        assert process.wait(20) == 0
        assert "Traceback" not in (home / "up.err").read_text()
    with up("--demo", home=home, cwd=home) as (served, _process):
        assert sequence(served) >= reached
        until(lambda: sequence(served) > reached + 1)
