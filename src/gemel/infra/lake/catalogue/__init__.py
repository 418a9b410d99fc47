"""The STAC catalogue: Collections and Items in SQL, found by place, time, property and CQL2 filter."""

from gemel.infra.lake.catalogue._catalogue import Catalogue, digest
from gemel.infra.lake.catalogue._cql2 import checked, parse_text
from gemel.infra.lake.catalogue._documents import Span, box, shape, span
from gemel.infra.lake.catalogue._fields import chosen
from gemel.infra.lake.catalogue._geoparquet import write_geoparquet
from gemel.infra.lake.catalogue._importing import Imported, import_catalogue
from gemel.infra.lake.catalogue._outside import Answer, search_many
from gemel.infra.lake.catalogue._search import LARGEST_LIMIT, Page, Search, Sort, parse_sort, sort_keys

__all__ = [
    "LARGEST_LIMIT",
    "Answer",
    "Catalogue",
    "Imported",
    "Page",
    "Search",
    "Sort",
    "Span",
    "box",
    "checked",
    "chosen",
    "digest",
    "import_catalogue",
    "parse_sort",
    "parse_text",
    "search_many",
    "shape",
    "sort_keys",
    "span",
    "write_geoparquet",
]
