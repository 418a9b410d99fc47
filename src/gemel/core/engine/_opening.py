"""A twin's sources, opened with what they are told: options filled in, a way to read, a memory, a place for the dead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from gemel.base.errors import InvalidInput, TwinInvalid
from gemel.base.plugins import plugins
from gemel.core.engine._telling import stream_of
from gemel.core.graph import Process
from gemel.core.stream import Source, SourceContext
from gemel.core.stream.sources import Memory
from gemel.core.twin import Twin
from gemel.infra.lake import locate


def open_source(
    twin: Twin,
    name: str,
    overrides: Mapping[str, Any],
    ways: tuple[Memory, Callable[[str, bytes], None]],
    stop: threading.Event,
) -> Source:
    """Return a source of the twin, open.

    Args:
        twin: The twin.
        name: Name of the source.
        overrides: Options that take precedence over those in `twin.toml`.
        ways: Its memory, and where payloads go that are no observations.
        stop: Set when the source should end.

    Raises:
        NotFound: Its kind is unknown.
        InvalidInput: Its options make no sense.
    """
    spec = twin.manifest.sources[name]
    kind: Any = plugins("sources").get(spec.kind)
    options = {key: _filled(twin, value) for key, value in (dict(spec.options) | dict(overrides)).items()}
    if "dataset" in options:
        options["dataset"] = twin.manifest.datasets.get(options["dataset"], options["dataset"])
    uri = f"/{stream_of(twin.id)}/sources/{name}"
    memory, reject = ways
    source: Source = kind(SourceContext(name, uri, options, _reader(twin), stop, memory, reject))
    return source


def _reader(twin: Twin) -> Callable[[str, str], Any]:
    def read(reader: str, reference: str) -> Any:
        process = twin.registry.get(reader)
        if not isinstance(process, Process):
            raise InvalidInput(f"'{reader}' is not a process of twin '{twin.id}', so it cannot read a record.")
        first, *others = (parameter.name for parameter in process.parameters)
        manifest = twin.manifest
        values = dict(manifest.settings) | {name: spec.default for name, spec in manifest.parameters.items()}
        known = {name: values[name] for name in others if name in values}
        return process.function(**{first: locate(reference, base=twin.folder)}, **known)

    return read


def _filled(twin: Twin, value: Any) -> Any:
    # "{live_from}" in an option stands for the setting of that name, so that an instance need only change settings.
    if not isinstance(value, str):
        return value
    try:
        return value.format_map(twin.manifest.settings)
    except (LookupError, ValueError, AttributeError) as error:
        message = f"Option '{value}' of a source of twin '{twin.id}' names no setting: {error}."
        raise TwinInvalid(message, hint="Declare it under [settings].") from error
