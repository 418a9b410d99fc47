"""What a person sees: the page lives, answers, is accessible, and stays at home."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from ui_stage import Engine, Window

pytestmark = pytest.mark.e2e
PATIENCE = 30_000


def is_live(page: Page) -> None:
    expect(page.locator(".link.live")).to_have_text("live", timeout=PATIENCE)
    expect(page.locator("gemel-plume canvas").first).to_be_visible(timeout=PATIENCE)


def nudge(page: Page, steps: int = 4) -> None:
    slider = page.locator('.slider input[type="range"]').first
    slider.focus()
    for _ in range(steps):
        slider.press("ArrowRight")


def findings(page: Page) -> list[str]:
    results = Axe().run(page).response["violations"]
    return [f"{v['id']}: {[n['target'] for n in v['nodes']]}" for v in results]


def test_values_change_by_themselves_when_the_twin_moves_on(engine: Engine, window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.page
    page.goto(engine.url)
    is_live(page)
    clock = page.locator('[data-live="clock"]')
    before = clock.inner_text()
    issued = page.locator("gemel-plume").first.get_attribute("data-issued")
    engine.advance()
    expect(clock).not_to_have_text(before, timeout=PATIENCE)
    expect(page.locator("gemel-plume").first).not_to_have_attribute("data-issued", issued or "", timeout=PATIENCE)
    assert opened.complaints == []


def test_an_open_table_keeps_open_and_follows(engine: Engine, window: Callable[..., Window]) -> None:
    page = window().page
    page.goto(engine.url)
    is_live(page)
    page.locator(".as-table > summary").first.click()
    caption = page.locator(".as-table caption").first
    before = caption.inner_text()
    engine.advance()
    expect(caption).not_to_have_text(before, timeout=PATIENCE)
    expect(page.locator(".as-table").first).to_have_attribute("open", "")


def test_a_slider_answers_beside_the_baseline_and_goes_back(engine: Engine, window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.page
    page.goto(engine.url)
    is_live(page)
    nudge(page)
    answer = page.locator(".whatif-answer")
    expect(answer.locator(".peak .was")).to_be_visible(timeout=PATIENCE)
    expect(answer.locator(".interval")).to_contain_text("baseline")
    expect(answer.locator(".took")).to_contain_text("Answered in")
    expect(page.locator(".legend")).to_contain_text("what-if: median")
    name = page.locator(".slider").first.get_attribute("data-name")
    expect(page.locator('[data-arguments="kwargs"]')).to_contain_text(f"{name}=")
    page.get_by_role("button", name="Back to live").click()
    expect(page.locator(".legend")).not_to_contain_text("what-if")
    expect(page.locator('[data-arguments="kwargs"]')).to_have_text("")
    assert opened.complaints == []


def test_chart_is_read_by_keyboard(engine: Engine, window: Callable[..., Window]) -> None:
    page = window().page
    page.goto(engine.url)
    is_live(page)
    page.locator(".plume-focus").first.press("ArrowLeft")
    expect(page.locator(".plume-reading").first).to_contain_text("UTC")
    last = page.locator(".plume-reading .when").first.inner_text()
    page.locator(".plume-focus").first.press("ArrowLeft")
    expect(page.locator(".plume-reading .when").first).not_to_have_text(last)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390], ids=["desktop", "phone"])
def test_nothing_stands_in_anyones_way(engine: Engine, window: Callable[..., Window], dark: bool, width: int) -> None:
    page = window(width=width, dark=dark).page
    page.goto(engine.url)
    is_live(page)
    nudge(page)
    expect(page.locator(".peak .was")).to_be_visible(timeout=PATIENCE)
    for summary in page.locator(".as-table > summary").all():
        summary.click()
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_other_pages_are_accessible_too(engine: Engine, window: Callable[..., Window], dark: bool) -> None:
    opened = window(dark=dark)
    page = opened.page
    page.goto(engine.url)
    runs = page.locator(".runs tbody a").evaluate_all("all => all.map(a => a.pathname)")
    card = page.get_by_role("link", name="Read the card").get_attribute("href") or ""
    for path in ["/twins", card, card.replace("/card", "/report"), *runs[:3]]:
        page.goto(engine.url + path)
        assert findings(page) == [], path
    assert opened.complaints == []


def test_page_reads_without_scripts(engine: Engine, window: Callable[..., Window]) -> None:
    page = window(scripts=False).page
    page.goto(engine.url)
    expect(page.locator(".answer-figure")).to_contain_text("m³/s")
    expect(page.locator(".plume-still").first).to_be_visible()
    expect(page.locator("#status")).to_contain_text("UTC")
    expect(page.locator(".view-alerts li, .view-alerts .empty").first).to_be_visible()
    page.locator(".as-table > summary").first.click()
    expect(page.locator(".as-table tbody tr").first).to_be_visible()


def test_everything_comes_from_the_engine_itself(engine: Engine, window: Callable[..., Window]) -> None:
    opened = window()
    opened.page.goto(engine.url)
    is_live(opened.page)
    nudge(opened.page)
    expect(opened.page.locator(".peak .was")).to_be_visible(timeout=PATIENCE)
    assert opened.foreign(engine.url) == []
    assert opened.complaints == []
    fonts = opened.page.evaluate("[...document.fonts].filter(f => f.status === 'loaded').map(f => f.family)")
    assert any("Inter" in family for family in fonts)


def test_a_stopped_engine_is_said_out_loud(own_engine: Engine, window: Callable[..., Window]) -> None:
    page = window().page
    page.goto(own_engine.url)
    is_live(page)
    own_engine.stop()
    expect(page.locator(".link")).to_have_text("connection lost, retrying", timeout=PATIENCE)
    nudge(page)
    expect(page.locator(".whatif-answer")).to_contain_text("could not be reached", timeout=PATIENCE)


def test_a_card_can_neither_run_nor_load_anything(own_engine: Engine, window: Callable[..., Window]) -> None:
    opened = window()
    opened.page.goto(f"{own_engine.url}/twins/earlywarning/card")
    expect(opened.page.locator(".prose")).to_contain_text("<script>")
    assert opened.page.evaluate("window.unsafe") is None
    assert opened.foreign(own_engine.url) == []
    assert opened.page.locator('.prose a[href^="javascript"]').count() == 0
