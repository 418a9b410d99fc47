"""The data lake: references to data wherever they lie, and files kept under the digest of their content."""

from gemel.infra.lake._content import ContentStore
from gemel.infra.lake._reference import locate

__all__ = ["ContentStore", "locate"]
