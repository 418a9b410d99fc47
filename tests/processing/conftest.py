"""An engine of this folder's own, one for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from workbench import Bench

from gemel.base.config import load_settings
from gemel.core.engine import open_engine

pytest.importorskip("rasterio", reason="the extra [data] is not installed")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("processing")
    settings = load_settings(home=folder / "home", folder=folder, environ={}, assignments=["sandbox.time=4 s"])
    with open_engine(settings) as engine:
        yield Bench(engine, folder)
