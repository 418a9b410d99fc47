"""Writes the library's contract from the openEO process specification: ``python docs/make_contract.py FOLDER``.

`FOLDER` holds the specification's JSON files (`*.json` and `proposals/*.json`). Kept is the interface: names, schemas
(whole, see NOTICE), defaults, names of exceptions, categories, flags. Descriptions are ours, from the docstrings.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONTRACT = Path(__file__).parents[1] / "src" / "gemel" / "core" / "processes" / "_contract.json"
_FLAGS = ("experimental", "deprecated")


def contract(folder: Path) -> dict[str, Any]:
    """Return the contract of every process specified in `folder`, by process id in alphabetical order."""
    files = [*folder.glob("*.json"), *folder.glob("proposals/*.json")]
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    return {document["id"]: facts(document) for document in sorted(documents, key=lambda item: str(item["id"]))}


def facts(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a process description promises: parameters, returns, exceptions, categories, flags.

    Schemas are the standard's, to the letter: what checks a server against the standard compares them whole, titles of
    alternatives included. The words around them are not taken.
    """
    found: dict[str, Any] = {
        "categories": list(document.get("categories", ())),
        "parameters": [_without_words(parameter) for parameter in document["parameters"]],
        "returns": {"schema": document["returns"]["schema"]},
    }
    if document.get("exceptions"):
        found["exceptions"] = list(document["exceptions"])
    return found | {flag: True for flag in _FLAGS if document.get(flag)}


def _without_words(parameter: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in parameter.items() if name != "description"}


def written(found: Mapping[str, Any]) -> str:
    """Return the contract as JSON with a process a line, so that a change of one is a change of one line."""
    lines = [f'"{name}":{json.dumps(item, separators=(",", ":"), ensure_ascii=False)}' for name, item in found.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    """Write the contract of the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the specification's folder of JSON files")
    CONTRACT.write_text(written(contract(parser.parse_args().folder)), encoding="utf-8")


if __name__ == "__main__":
    main()
