"""STAC API 1.0.0 at `/stac`: collections, items, item search and transactions on the engine's catalogue."""

from gemel.faces.stac._face import StacApi

__all__ = ["face"]

face = StacApi()
