"""The models of an engine: where they are registered, and what is told in the stream `models/NAME` when they change."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gemel.base.ids import new_id
from gemel.core.learn.registry import ModelRegistry
from gemel.core.stream import Event, EventLog
from gemel.infra.lake import ContentStore
from gemel.infra.store import Store

MODELS = "models/"


def models_of(store: Store, home: Path, log: EventLog) -> ModelRegistry:
    """Return the registry of a home folder, whose changes become events like ``gemel.model.promoted``."""
    registry = ModelRegistry(store, ContentStore(home / "models"))

    def tell(what: str, name: str, document: dict[str, Any]) -> None:
        event = Event(new_id("event"), f"gemel.model.{what}", f"/{MODELS}{name}", datetime.now(UTC), document, name)
        log.append(f"{MODELS}{name}", event)

    registry.told = tell
    return registry
