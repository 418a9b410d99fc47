"""The shape of the house: layers that import only downward, and an import that costs next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ["numpy", "xarray", "pandas", "torch", "fastapi", "sqlalchemy", "pint", "pydantic", "numba", "dask"]


def _loaded_by(statement: str) -> set[str]:
    script = f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(told.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "statement", ["import gemel", "import gemel.base.errors, gemel.base.config, gemel.base.plugins"]
)
def test_importing_loads_nothing_heavy(statement):
    assert not _loaded_by(statement) & set(HEAVY)


def test_help_loads_nothing_heavy():
    statement = "from gemel.cli import main\nsys.argv = ['gemel', '--help']\n"
    statement += "try:\n    main()\nexcept SystemExit:\n    pass"
    loaded = _loaded_by(statement)
    assert "click" in loaded and not loaded & set(HEAVY)


def test_an_engine_knows_about_learning_without_loading_what_learns():
    loaded = _loaded_by(
        "import gemel.core.engine, gemel.core.learn.processes, gemel.thematic.lattice, gemel.twins.lattice.twin"
    )
    assert not loaded & {"torch", "mlflow", "optuna", "onnx", "onnxruntime", "keras", "zuko", "tensorboardX"}


def test_layers_and_contracts_hold():
    told = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout


def test_the_contracts_cover_every_layer_of_the_blueprint():
    import tomllib

    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(item for item in contracts if item["type"] == "layers" and item["containers"] == ["gemel"])
    named = {name.strip(" ()") for row in layers["layers"] for name in row.split("|")}
    assert {"base", "infra", "core", "thematic", "twins", "server", "sdk", "faces", "ui", "cli"} == named


def test_everything_public_is_exported_by_name():
    import importlib
    import pkgutil

    import gemel

    missing = []
    for module in pkgutil.walk_packages(gemel.__path__, "gemel."):
        private = any(part.startswith("_") for part in module.name.split("."))
        if module.ispkg and not private and ".migrations" not in module.name and module.name.count(".") == 2:
            loaded = importlib.import_module(module.name)
            exported = getattr(loaded, "__all__", None)
            if exported is None and module.name.startswith(("gemel.core", "gemel.infra")):
                missing.append(module.name)
            missing += [f"{module.name}.{name}" for name in exported or () if not hasattr(loaded, name)]
    assert missing == []


def test_the_requirements_hold_what_the_project_asks_for_and_no_address():
    pins = (ROOT / "requirements" / "base.txt").read_text()
    names = {line.split("==")[0].lower().replace("_", "-") for line in pins.splitlines() if "==" in line}
    wanted = {
        requirement.split(";")[0].split(">")[0].split("[")[0].strip().lower()
        for requirement in metadata.requires("gemel") or ()
        if "extra ==" not in requirement
    }
    assert wanted <= names
    for path in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in path.read_text() and "--index" not in path.read_text(), path.name


def test_the_base_install_stays_small():
    pins = [line for line in (ROOT / "requirements" / "base.txt").read_text().splitlines() if "==" in line]
    assert len(pins) <= 80
