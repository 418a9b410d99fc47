"""Data on the web: documents, files kept in a cache, STAC catalogues and searches, Zarr stores read chunk by chunk."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gemel.infra.lake._places import confined
from gemel.infra.lake.web._cache import Cache
from gemel.infra.lake.web._client import ON_BEHALF, Web

if TYPE_CHECKING:
    from gemel.infra.lake.web._open import cache_of, opener
    from gemel.infra.lake.web._stac import Catalogue, catalogue

__all__ = ["ON_BEHALF", "Cache", "Catalogue", "Web", "cache_of", "catalogue", "confined", "opener"]


# What opens cubes is loaded once it is asked for: the agent of a site starts without the libraries for that.
_LATER = {"cache_of": "_open", "opener": "_open", "Catalogue": "_stac", "catalogue": "_stac"}


def __getattr__(name: str) -> object:
    """Return what is loaded when it is first asked for."""
    if name in _LATER:
        return getattr(importlib.import_module(f"gemel.infra.lake.web.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
