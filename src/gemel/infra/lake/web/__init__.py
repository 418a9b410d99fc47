"""Data on the web: documents, files kept in a cache, STAC catalogues and searches, Zarr stores read chunk by chunk."""

from gemel.infra.lake._places import confined
from gemel.infra.lake.web._cache import Cache
from gemel.infra.lake.web._client import Web
from gemel.infra.lake.web._open import cache_of, opener
from gemel.infra.lake.web._stac import Catalogue, catalogue

__all__ = ["Cache", "Catalogue", "Web", "cache_of", "catalogue", "confined", "opener"]
