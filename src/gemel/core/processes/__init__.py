"""Processes of the openEO standard, grouped as the standard groups them; what they do is the standard's, the words ours."""

from gemel.core.processes import arrays, comparison, dates, logic, mathematics, statistics, texts

LIBRARIES = (arrays, comparison, dates, logic, mathematics, statistics, texts)

__all__ = ["LIBRARIES", "arrays", "comparison", "dates", "logic", "mathematics", "statistics", "texts"]
