"""Graphs as ecFlow suites, for weather centres whose operations are driven by ecFlow."""

from gemel.faces.ecflow._export import LOST, export

__all__ = ["LOST", "export"]
