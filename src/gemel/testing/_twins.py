"""What every twin package keeps: it loads, its graphs are sound, and it says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from gemel.base import units
from gemel.base.clock import parse_duration
from gemel.base.plugins import plugins
from gemel.core.graph import Graph, validate
from gemel.core.twin import Twin, load_twin


class TwinContract:
    """Suite for one twin; set `folder`, where its `twin.toml` lies."""

    folder: ClassVar[Path]

    def twin(self) -> Twin:
        """Return the twin, loaded."""
        return load_twin(self.folder)

    def test_it_says_what_it_is(self) -> None:
        """Check for a title, a version, a licence and a card."""
        twin = self.twin()
        table = twin.manifest.twin
        assert table.title
        assert table.version
        assert table.licence
        assert twin.card().strip(), "the twin has no card (README.md)"

    def test_every_graph_is_sound(self) -> None:
        """Check that validation finds nothing in any graph."""
        twin = self.twin()
        for name, graph in twin.graphs.items():
            findings = validate(graph, twin.registry)
            assert not findings, f"{name}: {[finding.message for finding in findings]}"

    def test_every_graph_round_trips(self) -> None:
        """Check that the JSON of a graph is the graph."""
        for graph in self.twin().graphs.values():
            assert Graph.from_json(graph.to_json()) == graph

    def test_parameters_have_readable_units_and_defaults_within_bounds(self) -> None:
        """Check each parameter that people may change."""
        for name, parameter in self.twin().manifest.parameters.items():
            units.check_unit(parameter.unit)
            low = parameter.minimum if parameter.minimum is not None else parameter.default
            high = parameter.maximum if parameter.maximum is not None else parameter.default
            assert low <= parameter.default <= high, name

    def test_what_it_names_is_there(self) -> None:
        """Check that sources, checks and triggers refer to things that exist."""
        twin = self.twin()
        manifest = twin.manifest
        parse_duration(manifest.physical.sync)
        assert twin.main in twin.graphs
        for source in manifest.sources.values():
            assert source.kind in plugins("sources").names()
        for check in manifest.checks:
            assert check.kind in plugins("checks").names()
            assert check.graph in twin.graphs
        for trigger in manifest.triggers:
            assert trigger.run in twin.graphs

    def test_it_has_checks(self) -> None:
        """Check that something must hold before anything of it is published."""
        assert self.twin().manifest.checks, "the twin promises nothing: add [[checks]]"
