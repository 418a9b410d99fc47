"""Alerts on their way out: as CloudEvents over HTTP, to aviso-servers, as CAP 1.2 messages, into folders; at least once."""

from gemel.core.stream.alerts._cap import CapSettings, cap_document, cap_identifier
from gemel.core.stream.alerts._chain import Chain
from gemel.core.stream.alerts._kinds import KINDS, open_outlet
from gemel.core.stream.alerts._line import Line
from gemel.core.stream.alerts._outlet import (
    ALERT,
    OVER,
    About,
    Notice,
    OpenOutlet,
    Outlet,
    OutletContext,
    OutletTable,
    is_alert,
)
from gemel.core.stream.alerts._outlets import Outlets

__all__ = [
    "ALERT",
    "KINDS",
    "OVER",
    "About",
    "CapSettings",
    "Chain",
    "Line",
    "Notice",
    "OpenOutlet",
    "Outlet",
    "OutletContext",
    "OutletTable",
    "Outlets",
    "cap_document",
    "cap_identifier",
    "is_alert",
    "open_outlet",
]
