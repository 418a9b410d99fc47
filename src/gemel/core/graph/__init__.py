"""Processes, graphs and durable runs: what computes, how it is put together, and what is recorded of it."""

from gemel.core.graph import _operators
from gemel.core.graph._execution import Execution, RunControl, Services
from gemel.core.graph._graph import Graph, Node, graph
from gemel.core.graph._journal import Journal, NewRun, Output, Run, StepRecord
from gemel.core.graph._pinning import pinned
from gemel.core.graph._plan import Plan, PlannedStep, plan
from gemel.core.graph._portable import Task, from_document, read_value, run_task, tasks_of, to_document
from gemel.core.graph._process import Parameter, Process, Retry, process
from gemel.core.graph._progress import Cancelled, capture_logs, current_context, progress
from gemel.core.graph._registry import Registry
from gemel.core.graph._results import ResultStore, StoredResult
from gemel.core.graph._step import Evaluator, Ground, Performer
from gemel.core.graph._surroundings import Models, Sandbox, Surroundings, surroundings, within
from gemel.core.graph._types import Bounds, Dataset, Field, File, Model, Number, Table, Unit, ValueType
from gemel.core.graph._validation import Finding, require_valid, validate
from gemel.core.graph._values import decode, encode

operators = _operators

__all__ = [
    "Bounds",
    "Cancelled",
    "Dataset",
    "Evaluator",
    "Execution",
    "Field",
    "File",
    "Finding",
    "Graph",
    "Ground",
    "Journal",
    "Model",
    "Models",
    "NewRun",
    "Node",
    "Number",
    "Output",
    "Parameter",
    "Performer",
    "Plan",
    "PlannedStep",
    "Process",
    "Registry",
    "ResultStore",
    "Retry",
    "Run",
    "RunControl",
    "Sandbox",
    "Services",
    "StepRecord",
    "StoredResult",
    "Surroundings",
    "Table",
    "Task",
    "Unit",
    "ValueType",
    "capture_logs",
    "current_context",
    "decode",
    "encode",
    "from_document",
    "graph",
    "operators",
    "pinned",
    "plan",
    "process",
    "progress",
    "read_value",
    "require_valid",
    "run_task",
    "surroundings",
    "tasks_of",
    "to_document",
    "validate",
    "within",
]
