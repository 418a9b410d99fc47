"""What the workspace asks of whoever runs graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gemel.core.graph import Finding, Graph, Run


class Expected(Protocol):
    """What running a graph will take; None where nobody knows."""

    @property
    def seconds(self) -> float | None:
        """Return the time from start to end."""

    @property
    def size(self) -> int | None:
        """Return the bytes that the results will take."""

    def document(self) -> dict[str, Any]:
        """Return all that is known, as JSON."""


class Runner(Protocol):
    """Runs graphs that belong to no twin; `gemel.core.engine.GraphRuns` is one."""

    def validate(self, graph: Graph, arguments: Mapping[str, Any] | None = None) -> list[Finding]:
        """Return everything that is wrong with the graph."""

    def start(self, graph: Graph, arguments: Mapping[str, Any] | None = None) -> str:
        """Return the id of a run that has begun."""

    def get(self, run: str) -> Run:
        """Return the run as it stands."""

    def wait(self, run: str, timeout: float | None = None) -> Run:
        """Return the run when it has ended, or as it stands when the time is up."""

    def cancel(self, run: str) -> Run:
        """Return the run after asking for its end."""

    def forget(self, run: str) -> None:
        """Remove the results that only this run made."""

    def logs(self, run: str) -> list[Mapping[str, Any]]:
        """Return what the run logged."""

    def outputs(self, run: Run) -> list[str]:
        """Return the names of the outputs that the run has by now."""

    def output(self, run: Run, name: str) -> Any:
        """Return the value of an output."""

    def format(self, run: Run, name: str) -> str:
        """Return the format in which an output is stored."""

    def exported(self, run: Run, name: str) -> tuple[bytes, str]:
        """Return (bytes, media type) of an output in the format that suits it."""

    def estimate(self, graph: Graph, arguments: Mapping[str, Any] | None = None) -> Expected:
        """Return what running the graph will take."""
