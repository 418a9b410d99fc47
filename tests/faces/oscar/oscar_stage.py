"""A serving engine that speaks OSCAR, and the environment of OSCAR's own client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from own_environment import own_environment
from stage import Serving, serving

FOLDER = Path(__file__).parent
SHOUT = """#!/bin/sh
echo "shouting in $PLACE" >&2
tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/loud.txt"
"""
FDL = """\
functions:
  oscar:
  - here:
      name: shout
      image: gemel
      cpu: 0.5
      memory: 256Mi
      script: shout.sh
      log_level: INFO
      environment:
        variables:
          PLACE: the hall
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield one serving engine for the tests of a module; its functions are at work."""
    home = tmp_path_factory.mktemp("oscar") / "home"
    settings = load_settings(home=home, environ={}, folder=home)
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(settings))
        engine.functions.start()
        yield stack.enter_context(serving(Service(engine)))


@pytest.fixture(scope="session")
def oscar_python() -> Path:
    """Return the Python of an environment with oscar-python, made on first use and kept."""
    return own_environment("oscar", FOLDER / "pins.txt")
