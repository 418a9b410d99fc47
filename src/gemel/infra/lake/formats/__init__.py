"""File formats: what data come from and go to, each written and read block by block."""

from gemel.infra.lake.formats._format import Format
from gemel.infra.lake.formats._registry import format_named, format_of_file, formats
from gemel.infra.lake.formats._tidy import vector_cube
from gemel.infra.lake.formats._vector import features_of

__all__ = ["Format", "features_of", "format_named", "format_of_file", "formats", "vector_cube"]
