"""What the pages on processing and fusion show is what happens, for a reader who follows both in one folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from consoles import Reader
from test_docs_pages import DOCS

from gemel.infra.compute import confinement

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("docs-commands"),
    pytest.mark.skipif(confinement() != "bubblewrap", reason="bubblewrap is not installed or may not be used"),
]


def test_processing_and_fusion_go_as_told(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("rasterio", reason="the extra [data] is not installed")
    folder = tmp_path / "reader"
    folder.mkdir()
    reader = Reader(folder, home)
    assert reader.follow((DOCS / "processing.md").read_text(encoding="utf-8")) >= 15
    assert reader.follow((DOCS / "fusion.md").read_text(encoding="utf-8")) >= 6
