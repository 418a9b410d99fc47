"""Datasets: named data with digests, licence and metadata, whose replicas lie on storages."""

from gemel.infra.lake.datasets._datasets import Datasets, Facts
from gemel.infra.lake.datasets._hashing import Hashed, Seen
from gemel.infra.lake.datasets._names import Name
from gemel.infra.lake.datasets._records import Digest, Record, Replica
from gemel.infra.lake.datasets._verifying import Finding

__all__ = ["Datasets", "Digest", "Facts", "Finding", "Hashed", "Name", "Record", "Replica", "Seen"]
