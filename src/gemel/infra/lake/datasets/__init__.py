"""Datasets: named data with digests, licence and metadata, whose replicas lie on storages."""

from gemel.infra.lake.datasets._contents import Content, Contents
from gemel.infra.lake.datasets._datasets import Datasets
from gemel.infra.lake.datasets._events import Changes, Happened
from gemel.infra.lake.datasets._facts import Facts
from gemel.infra.lake.datasets._names import Name
from gemel.infra.lake.datasets._records import Record, Replica
from gemel.infra.lake.datasets._replicating import Replicated
from gemel.infra.lake.datasets._verifying import Finding

__all__ = [
    "Changes",
    "Content",
    "Contents",
    "Datasets",
    "Facts",
    "Finding",
    "Happened",
    "Name",
    "Record",
    "Replica",
    "Replicated",
]
