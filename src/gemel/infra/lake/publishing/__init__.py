"""Publishing: files of the lake as STAC Items, with digest, licence, place and time as far as people told them."""

from gemel.infra.lake.publishing._dataset_items import DatasetItems

__all__ = ["DatasetItems"]
