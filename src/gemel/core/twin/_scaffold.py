"""Starting a new twin: a small working package to edit, or an instance of an existing twin on other data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import tomlkit

from gemel.base.errors import Conflict, InvalidInput
from gemel.core.twin._manifest import MANIFEST
from gemel.core.twin._package import Twin
from gemel.core.twin._scenario import value_of

_TEMPLATE = Path(__file__).with_name("template")
_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,62}$")


def new_twin(name: str, parent: Path) -> Path:
    """Return the folder of a new twin that runs as it is and is meant to be edited.

    Raises:
        InvalidInput: The name cannot be a twin's id.
        Conflict: The folder exists.
    """
    folder = _fresh(name, parent)
    title = name.replace("-", " ").replace("_", " ").capitalize()
    for source in sorted(_TEMPLATE.rglob("*.in")):
        target = folder / source.relative_to(_TEMPLATE).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(
            Template(source.read_text(encoding="utf-8")).substitute(name=name, title=title), encoding="utf-8"
        )
    return folder


def new_instance(name: str, parent: Path, of: Twin, datasets: Mapping[str, str], parameters: Mapping[str, Any]) -> Path:
    """Return the folder of a new instance of a twin, bound to other `datasets`, with other `parameters` as defaults.

    Raises:
        InvalidInput: The name cannot be a twin's id, or a dataset or parameter is not one of the twin's.
        Conflict: The folder exists.
    """
    for kind, given, known in (
        ("dataset", datasets, of.manifest.datasets),
        ("parameter", parameters, {**of.manifest.parameters, **of.manifest.settings}),
    ):
        for key in given:
            if key not in known:
                hint = f"It has: {', '.join(known) or 'none'}."
                raise InvalidInput(f"Twin '{of.id}' has no {kind} '{key}'.", hint=hint)
    document = tomlkit.document()
    document["twin"] = {"id": name, "of": of.id if of.origin == "plugin" else str(of.folder), "version": "0.1.0"}
    if datasets:
        document["datasets"] = {key: _absolute(value) for key, value in datasets.items()}
    if parameters:
        specs, settings = of.manifest.parameters, of.manifest.settings
        document["parameters"] = {
            key: {"default": value_of(key, specs[key], value)} for key, value in parameters.items() if key in specs
        }
        document["settings"] = {key: value for key, value in parameters.items() if key in settings}
    folder = _fresh(name, parent)
    (folder / MANIFEST).write_text(tomlkit.dumps(document), encoding="utf-8")
    return folder


def _fresh(name: str, parent: Path) -> Path:
    if not _NAME.match(name):
        hint = "Use small letters, digits, - and _, beginning with a letter."
        raise InvalidInput(f"'{name}' cannot be the id of a twin.", hint=hint)
    folder = parent / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise Conflict(f"There is a '{folder.name}' here already.", hint="Choose another name.") from error
    return folder


def _absolute(reference: str) -> str:
    # The instance's folder is not the folder in which the user typed the path.
    return reference if ":" in reference else str(Path(reference).expanduser().absolute())
