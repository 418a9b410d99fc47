"""Trust: checks with evidence, reports that gate publication, and why a number is what it is."""

from gemel.core.trust import _checks as builtin_checks
from gemel.core.trust._checks import Check, CheckResult, Verdict, evaluate, pick
from gemel.core.trust._lineage import compare, lineage
from gemel.core.trust._reports import Report, ReportStore

__all__ = [
    "Check",
    "CheckResult",
    "Report",
    "ReportStore",
    "Verdict",
    "builtin_checks",
    "compare",
    "evaluate",
    "lineage",
    "pick",
]
