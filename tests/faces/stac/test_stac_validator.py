"""The official validator finds no error in any class that the server claims and the validator can check."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stac_stage import GEOMETRY, OUTSIDE, SCENES, furnish

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from stage import PATIENCE, Serving, serving

CLASSES = [
    *("core", "browseable", "collections", "features", "item-search", "filter"),
    *("item-search#sort", "item-search#fields", "features#sort", "features#fields"),
]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stac-validator")]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield an engine whose documents use no extension: schemas of extensions are not in any package."""
    home = tmp_path_factory.mktemp("validated") / "home"
    with open_engine(load_settings(home=home, environ={}, folder=home)) as engine:
        furnish(engine.catalogue)
        with serving(Service(engine)) as found:
            yield found


@pytest.mark.parametrize("name", CLASSES)
def test_the_official_validator_finds_no_error(validator: Path, bare: Serving, tmp_path: Path, name: str) -> None:
    command = [str(validator.with_name("stac-api-validator")), "--root-url", f"{bare.url}/stac", "--conformance", name]
    command += ["--collection", SCENES, "--geometry", json.dumps(GEOMETRY), "-H", f"Authorization: Bearer {bare.token}"]
    command += ["--fields-nested-property", "properties.eo:cloud_cover"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(OUTSIDE), "HOME": str(tmp_path)}
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=2 * PATIENCE)
    told = ended.stdout + ended.stderr
    # The validator ends with 0 even after a traceback of its own, so what it says is read.
    assert "Traceback" not in told, told[-3000:]
    assert re.search(r"Errors: none", told), told[-3000:]
