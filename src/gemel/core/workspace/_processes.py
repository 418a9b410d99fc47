"""Processes that people store: kept per person, and written out in the graphs that use them."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from gemel.base.errors import Conflict, GraphInvalid, InvalidInput, NotFound
from gemel.core.graph import Finding, Graph, Registry
from gemel.core.workspace._expansion import Expansion
from gemel.core.workspace._records import Records
from gemel.infra.store import Store, schema

Document = dict[str, Any]
# openEO API 1.2.0 allows word characters; its own compliance suite stores ids with hyphens.
_ID = re.compile(r"[\w\-.~]{1,200}")


class StoredProcesses:
    """The user-defined processes of each person."""

    def __init__(self, store: Store) -> None:
        self._records = Records(store, schema.stored_processes, "stored process", ("process",))
        self._registry = Registry()

    def put(self, owner: str, id: str, process: Mapping[str, Any]) -> bool:
        """Return whether it is new after storing a process with a `process_graph` under an id.

        Raises:
            InvalidInput: The id cannot be one.
            Conflict: A predefined process is called so.
            GraphInvalid: There is no process graph, or it has not the shape of one.
        """
        if not _ID.fullmatch(id):
            raise InvalidInput(f"'{id}' cannot name a process.", hint="Letters, digits and underscores.", name=id)
        if self._registry.find(id) is not None:
            hint = "Store it under another name."
            raise Conflict(f"A predefined process is called '{id}'.", hint=hint, kind="stored process", name=id)
        document = dict(process) | {"id": id}
        Graph.from_json(document)
        return self._records.put(owner, id, {"process": document})

    def get(self, owner: str, id: str) -> Document:
        """Return the process as it was stored.

        Raises:
            NotFound: There is none.
        """
        return dict(self._records.get(owner, id)["process"])

    def list(self, owner: str, limit: int | None = None, after: str | None = None) -> builtins.list[Document]:
        """Return the processes of a person."""
        return [dict(row["process"]) for row in self._records.list(owner, limit, after)]

    def delete(self, owner: str, id: str) -> None:
        """Remove a process; graphs that were started with it hold it themselves.

        Raises:
            NotFound: There is none.
        """
        self._records.remove(owner, id)

    def read(self, owner: str, process: Mapping[str, Any]) -> tuple[Graph, builtins.list[Finding]]:
        """Return the graph of a process, with every stored process in it written out, and what is wrong about those.

        Raises:
            GraphInvalid: It has not the shape of a process graph.
        """
        Graph.from_json(process)  # complains about the shape before anything is looked up
        expansion = Expansion(lambda id: self._find(owner, id))
        document = expansion.expanded(_whole(process))
        return _with_leaves(Graph.from_json(document), self._registry), expansion.findings

    def ready(self, owner: str, process: Mapping[str, Any]) -> Graph:
        """Return the graph of a process to be run.

        Raises:
            GraphInvalid: It has not the shape of a process graph, or uses a stored process wrongly.
        """
        graph, findings = self.read(owner, process)
        if findings:
            listed = [asdict(finding) for finding in findings]
            raise GraphInvalid(findings[0].message, hint=findings[0].hint or None, findings=listed)
        return graph

    def _find(self, owner: str, id: str) -> Document | None:
        try:
            return self.get(owner, id)
        except NotFound:
            return None


def _whole(process: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a process with `process_graph`, from any of the shapes that `Graph.from_json` reads."""
    inner = process.get("process")
    found = inner if isinstance(inner, Mapping) else process
    return found if "process_graph" in found else {"process_graph": found}


def _with_leaves(graph: Graph, registry: Registry) -> Graph:
    """Return the graph with every durable step that nothing uses as an output: it was put there for what it keeps."""
    used = {source for node in graph.nodes.values() for source in node.sources()} | set(graph.outputs.values())
    more = {}
    for name, node in graph.nodes.items():
        found = registry.find(node.process) if name not in used else None
        if found is not None and getattr(found, "durable", False):
            more[name] = name
    return replace(graph, outputs={**graph.outputs, **more}) if graph.outputs and more else graph
