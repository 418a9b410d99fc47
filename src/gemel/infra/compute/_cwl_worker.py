"""cwltool as it runs inside the box: what is handed out must be a tool's own file or one of its inputs, not a link out."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from cwltool import executors
from cwltool.errors import WorkflowException
from cwltool.main import main


def guarded(relocate: Callable[..., Any], inputs: list[str]) -> Callable[..., Any]:
    """Return `relocate` (of cwltool) with a look at what each output really is before it is moved."""

    @functools.wraps(relocate)
    def checked(outputs: Any, destination: str, sources: set[str], *more: Any, **options: Any) -> Any:
        allowed = [os.path.realpath(place) for place in (*sources, *inputs)]
        for place in _places(outputs):
            real = os.path.realpath(place)
            if not any(real == root or real.startswith(root.rstrip("/") + "/") for root in allowed):
                name = os.path.basename(place)  # noqa: PTH119
                raise WorkflowException(
                    f"output '{name}' is a link to something outside of the tool's working directory"
                )
        return relocate(outputs, destination, sources, *more, **options)

    return checked


def _places(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("class") in ("File", "Directory"):
            parts = urlsplit(str(value.get("location") or value.get("path") or ""))
            if parts.scheme in ("", "file") and parts.path:
                yield from _inside(unquote(parts.path))
        for item in value.values():
            yield from _places(item)
    elif isinstance(value, list):
        for item in value:
            yield from _places(item)


def _inside(place: str) -> Iterator[str]:
    yield place
    for folder, folders, files in os.walk(place):
        yield from (os.path.join(folder, name) for name in (*folders, *files))  # noqa: PTH118


if __name__ == "__main__":
    executors.relocateOutputs = guarded(executors.relocateOutputs, json.loads(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
