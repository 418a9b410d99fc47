"""What people keep on an engine: jobs, stored processes, files, services; no protocol of any standard is spoken here."""

from gemel.core.workspace._files import Files, Incoming, StoredFile
from gemel.core.workspace._jobs import Job, Jobs
from gemel.core.workspace._logs import LEVELS, LogEntry, selected
from gemel.core.workspace._processes import StoredProcesses
from gemel.core.workspace._results import Asset, ResultFiles, Results, is_item
from gemel.core.workspace._runner import Expected, Runner
from gemel.core.workspace._services import SecondaryService, Services
from gemel.core.workspace._styles import RAMPS, Style
from gemel.core.workspace._workspace import Workspace

__all__ = [
    "LEVELS",
    "RAMPS",
    "Asset",
    "Expected",
    "Files",
    "Incoming",
    "Job",
    "Jobs",
    "LogEntry",
    "ResultFiles",
    "Results",
    "Runner",
    "SecondaryService",
    "Services",
    "StoredFile",
    "StoredProcesses",
    "Style",
    "Workspace",
    "is_item",
    "selected",
]
