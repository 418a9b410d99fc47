"""The pages of gemel: HTML drawn from the documents of `/api/v1`, knowing kinds of views and never a particular twin."""

from __future__ import annotations

from gemel.ui._documents import Document, Documents
from gemel.ui._errors import problem_page
from gemel.ui._pages import pages
from gemel.ui._static import CONTENT_SECURITY_POLICY, STATIC_PATH, static_files

__all__ = [
    "CONTENT_SECURITY_POLICY",
    "STATIC_PATH",
    "Document",
    "Documents",
    "pages",
    "problem_page",
    "static_files",
]
