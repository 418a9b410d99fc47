"""The registry: every version of every model, loadable for ever; which was in service when, why, and judged by what."""

from gemel.core.learn.registry._judgement import Judgement, Verdict
from gemel.core.learn.registry._names import check_name, parse_reference
from gemel.core.learn.registry._registry import ALIASES, ModelRegistry, Service, Version

__all__ = [
    "ALIASES",
    "Judgement",
    "ModelRegistry",
    "Service",
    "Verdict",
    "Version",
    "check_name",
    "parse_reference",
]
