"""What people hold in their hands: a twin, a run, a result."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from gemel.base.errors import GemelError, InvalidInput, StepFailed
from gemel.core.graph import decode
from gemel.sdk._transport import Document, Transport

Listener = Callable[[Document], None]


class TwinHandle:
    """A digital twin, ready to be asked.

    Attributes:
        id: The twin's id.
    """

    def __init__(self, transport: Transport, document: Document) -> None:
        self._transport = transport
        self._document = document
        self.id: str = document["id"]

    @property
    def document(self) -> Document:
        """Return everything known about the twin: parameters with units and bounds, graphs, views, licence."""
        return dict(self._document)

    @property
    def parameters(self) -> list[Document]:
        """Return the parameters that can be changed, each with unit, default and bounds."""
        return list(self._document["parameters"])

    def card(self) -> str:
        """Return the twin's card as Markdown."""
        return self._transport.card(self.id)

    def run(self, graph: str | None = None, **parameters: Any) -> RunHandle:
        """Return a run that has begun; `graph` is the twin's main one unless named.

        Raises:
            NotFound: No such graph or parameter.
            InvalidInput: A value of the wrong kind or unit, or out of bounds.
        """
        return RunHandle(self._transport, self._transport.start(self.id, graph, parameters))

    def whatif(self, **parameters: Any) -> RunHandle:
        """Return the run that answers: what if these parameters were so (numbers, or texts with a unit)?

        Raises:
            NotFound: No such parameter.
            InvalidInput: A value of the wrong kind or unit, or out of bounds.
        """
        return RunHandle(self._transport, self._transport.whatif(self.id, parameters))

    def check(self) -> Document:
        """Return the report of all the twin's checks, made now."""
        return self._transport.check(self.id)

    def live(self) -> Document:
        """Return how far the twin is from its physical twin: freshness, misfit, clock."""
        return self._transport.live(self.id)

    def views(self) -> list[Document]:
        """Return what the twin's page shows, as documents."""
        return self._transport.views(self.id)

    def publish(self) -> Document:
        """Return what was published, and where.

        Raises:
            CheckFailed: The twin as it is now has no passing report.
        """
        return self._transport.publish(self.id)

    def __repr__(self) -> str:
        """Return a one-line description."""
        return f"<Twin {self.id} {self._document['version']}: {self._document['title']}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(item['name'])}</td><td>{item['default']:g} {html.escape(item['unit'])}</td></tr>"
            for item in self.parameters
        )
        title, summary = html.escape(self._document["title"]), html.escape(self._document["summary"])
        return f"<h3>{title}</h3><p>{summary}</p><table><tr><th>parameter</th><th>default</th></tr>{rows}</table>"


class RunHandle:
    """One run of a twin's graph.

    Attributes:
        id: The run's id.
    """

    def __init__(self, transport: Transport, document: Document) -> None:
        self._transport = transport
        self._document = document
        self.id: str = document["id"]

    @property
    def state(self) -> str:
        """Return `queued`, `running`, `finished`, `failed` or `cancelled`, as of now."""
        return str(self.document["state"])

    @property
    def document(self) -> Document:
        """Return the run's record as of now."""
        if self._document["state"] in ("queued", "running"):
            self._document = self._transport.run(self.id)
        return dict(self._document)

    def watch(self, listener: Listener | None = None) -> RunHandle:
        """Return this run when it has finished, telling `listener` each change of a step on the way.

        Raises:
            StepFailed: The run failed; message, hint and context say which step and why.
            GemelError: The run was cancelled.
        """
        for change in self._transport.changes(self.id):
            if listener is not None:
                listener(change)
        self._document = self._transport.wait(self.id)
        if self._document["state"] == "failed":
            problem = self._document["error"] or {}
            error = StepFailed(problem.get("message", "The run failed."), hint=problem.get("hint"))
            error.context = dict(problem.get("context") or {}) | {"run": self.id}
            raise error
        if self._document["state"] == "cancelled":
            raise GemelError(f"Run {self.id} was cancelled.", hint="Run again: what was finished is kept.", run=self.id)
        return self

    @property
    def outputs(self) -> Mapping[str, Result]:
        """Return the finished run's outputs by name."""
        names = [output["name"] for output in self.watch()._document["outputs"]]
        return {name: Result(self._transport, self.id, name) for name in names}

    @property
    def result(self) -> Result:
        """Return the run's first output."""
        return next(iter(self.outputs.values()))

    def cancel(self) -> RunHandle:
        """Return this run after asking for its end."""
        self._document = self._transport.cancel(self.id)
        return self

    def logs(self) -> list[Document]:
        """Return what the steps logged."""
        return self._transport.logs(self.id)

    def explain(self) -> Document:
        """Return where the numbers come from (lineage of every step) and where the doubt comes from."""
        return self._transport.explain(self.id)

    def compare(self, other: RunHandle | str) -> Document:
        """Return which input, code, model or site differs from another run."""
        return self._transport.compare(self.id, other if isinstance(other, str) else other.id)

    def views(self) -> list[Document]:
        """Return what a page would show of this run."""
        twin = self._document["twin"]
        return self._transport.views(twin, self.id) if twin else []

    def __repr__(self) -> str:
        """Return a one-line description."""
        return f"<Run {self.id} of {self._document['twin']}/{self._document['graph']}: {self._document['state']}>"

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><td>{html.escape(step['id'])}</td><td>{step['state']}{' (reused)' if step['cached'] else ''}</td></tr>"
            for step in self.document["steps"]
        )
        return f"<p>{html.escape(repr(self))}</p><table><tr><th>step</th><th>state</th></tr>{cells}</table>"


class Result:
    """One output of a finished run."""

    def __init__(self, transport: Transport, run: str, name: str) -> None:
        self._transport = transport
        self._run = run
        self.name = name

    def to_xarray(self) -> xr.DataArray | xr.Dataset:
        """Return the output as it was made: an array with units, or a dataset.

        Raises:
            InvalidInput: The output is not made of arrays.
        """
        data, _ = self._transport.output_bytes(self._run, self.name, "netcdf")
        value: xr.DataArray | xr.Dataset = decode("netcdf", data)
        return value

    def to_pandas(self) -> pd.DataFrame:
        """Return the output as a table."""
        data, _ = self._transport.output_bytes(self._run, self.name, "csv")
        return pd.read_csv(io.BytesIO(data))

    def to_json(self) -> Any:
        """Return the output as plain JSON values (null where a number is not finite)."""
        data, _ = self._transport.output_bytes(self._run, self.name, "json")
        return json.loads(data)

    def save(self, path: str | Path) -> Path:
        """Return the path after writing the output; the suffix (.nc, .json, .csv) chooses the format.

        Raises:
            InvalidInput: The suffix is none of these, or the output does not fit into the format.
        """
        target = Path(path)
        formats = {".nc": "netcdf", ".json": "json", ".csv": "csv"}
        if target.suffix not in formats:
            raise InvalidInput(f"'{target.suffix}' is not a format for outputs.", hint="Use .nc, .json or .csv.")
        data, _ = self._transport.output_bytes(self._run, self.name, formats[target.suffix])
        target.write_bytes(data)
        return target


class TwinsView(Mapping[str, TwinHandle]):
    """The twins of an engine by id, looked up when asked for."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __getitem__(self, id: str) -> TwinHandle:
        """Return a twin by id (or, for a local engine, by folder).

        Raises:
            NotFound: There is none (also a KeyError's parent, LookupError).
        """
        return TwinHandle(self._transport, self._transport.twin(id))

    def __iter__(self) -> Iterator[str]:
        """Yield the ids of all twins that can be used."""
        return iter([twin["id"] for twin in self._transport.twins() if twin.get("problem") is None])

    def __len__(self) -> int:
        """Return how many twins can be used."""
        return len(list(iter(self)))

    def __contains__(self, id: object) -> bool:
        """Return whether a twin of this id can be used."""
        return id in list(iter(self))
