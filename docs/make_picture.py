"""Takes the pictures in the README: the real page of ``gemel up --demo``, on the day of the flood.

    python docs/make_picture.py [HOME]

Needs a Chromium that Playwright can start: its own, or Debian's at /usr/bin/chromium. Takes some minutes, because it
waits for the checks that fill the quality line; in the home folder of an engine that has made them it is quicker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

TOP = Path(__file__).parent / "images" / "page.png"
BELOW = TOP.with_name("page-doubt.png")
_DAY = "1986-04-02"
_ISSUED = "day => (document.querySelector('gemel-plume')?.dataset.issued || '') >= day"
_WIDTH, _HEIGHT, _MARGIN = 1440, 1180, 30
_DEBIAN = Path("/usr/bin/chromium")


def main() -> None:
    """Check the twin, play the record up to the day of the flood, and photograph the page."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GEMEL_HOME": sys.argv[1] if len(sys.argv) > 1 else folder}
        gemel = [sys.executable, "-m", "gemel"]
        subprocess.run([*gemel, "check", "earlywarning"], env=environment, check=True)
        server = subprocess.Popen(
            [*gemel, "up", "--demo", "--again", "--port", "0", "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            _photograph(json.loads(server.stdout.readline())["url"])
        finally:
            server.terminate()
            server.wait(30)


def _photograph(url: str) -> None:
    with sync_playwright() as playwright:
        options = {"executable_path": str(_DEBIAN)} if _DEBIAN.exists() else {}
        browser = playwright.chromium.launch(**options)
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        # Until the first day has been taken in there is no chart to look at.
        while page.goto(url) and not page.locator("gemel-plume").count():
            page.wait_for_timeout(500)
        page.wait_for_function(_ISSUED, arg=_DAY, timeout=120_000)
        # The chart draws the newest forecast a moment after it has come.
        page.wait_for_timeout(300)
        page.screenshot(path=TOP)
        doubt, quality = (page.locator(f"section.view-{kind}").bounding_box() for kind in ("doubt", "quality"))
        assert doubt is not None
        assert quality is not None
        top, bottom = doubt["y"] - _MARGIN, quality["y"] + quality["height"] + _MARGIN
        part = {"x": 0, "y": top, "width": _WIDTH, "height": bottom - top}
        page.screenshot(path=BELOW, full_page=True, clip=part)
        browser.close()


if __name__ == "__main__":
    main()
