"""Graphs written in the Common Workflow Language 1.2, for engines that drive such workflows."""

from gemel.faces.cwl._export import LOST, export

__all__ = ["LOST", "export"]
