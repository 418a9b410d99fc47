"""Tables of the journal. Instants are seconds since 1970-01-01 UTC (double); documents are JSON text."""

from gemel.infra.store.schema._catalogue import stac_collections, stac_items
from gemel.infra.store.schema._journal import engines, events, logs, outputs, reports, results, runs, states, steps
from gemel.infra.store.schema._lake import (
    dataset_digests,
    dataset_members,
    datasets,
    lake_events,
    replicas,
    rules,
    storages,
    token_profiles,
    token_secrets,
    transfers,
    watched_files,
    watches,
)
from gemel.infra.store.schema._metadata import metadata
from gemel.infra.store.schema._workspace import jobs, services, stored_processes

__all__ = [
    "dataset_digests",
    "dataset_members",
    "datasets",
    "engines",
    "events",
    "jobs",
    "lake_events",
    "logs",
    "metadata",
    "outputs",
    "replicas",
    "reports",
    "results",
    "rules",
    "runs",
    "services",
    "stac_collections",
    "stac_items",
    "states",
    "steps",
    "storages",
    "stored_processes",
    "token_profiles",
    "token_secrets",
    "transfers",
    "watched_files",
    "watches",
]
