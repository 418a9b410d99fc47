"""The synthetic engine on a free port, and a real browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from ui_stage import Engine, Window, start

CHROMIUM = os.environ.get("GEMEL_CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    if address := os.environ.get("GEMEL_UI_URL"):
        yield Engine(address.rstrip("/"), None, lambda: None)
        return
    running = start()
    yield running
    running.stop()


@pytest.fixture
def own_engine() -> Iterator[Engine]:
    """A synthetic engine that a test may stop."""
    running = start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists() and not os.environ.get("CI"):
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium, or name one in GEMEL_CHROMIUM")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture
def window(browser: Browser) -> Iterator[Callable[..., Window]]:
    """Opens pages: `window(width=390, dark=True, scripts=False)`."""
    contexts = []

    def make(width: int = 1440, height: int = 900, dark: bool = False, scripts: bool = True) -> Window:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            java_script_enabled=scripts,
        )
        contexts.append(context)
        opened = Window(context.new_page())
        opened.page.on("console", lambda m: m.type in ("error", "warning") and opened.complaints.append(m.text))
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        return opened

    yield make
    for context in contexts:
        context.close()
