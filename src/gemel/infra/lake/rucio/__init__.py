"""Rucio: one of its storage elements as a storage, and datasets, replicas and rules seen there and here."""

from gemel.infra.lake.rucio._exchange import Matching, RucioExchange
from gemel.infra.lake.rucio._facts import Did, Held, Known, Protocol, Rse, ThereRule
from gemel.infra.lake.rucio._report import Refused, Report
from gemel.infra.lake.rucio._server import Rucio
from gemel.infra.lake.rucio._storage import RucioStorage

__all__ = [
    "Did",
    "Held",
    "Known",
    "Matching",
    "Protocol",
    "Refused",
    "Report",
    "Rse",
    "Rucio",
    "RucioExchange",
    "RucioStorage",
    "ThereRule",
]
