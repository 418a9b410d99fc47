"""The kinds of outlets there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from gemel.base.errors import not_found
from gemel.core.stream.alerts._aviso import AvisoOutlet
from gemel.core.stream.alerts._cap_outlet import Cap
from gemel.core.stream.alerts._folder import Folder
from gemel.core.stream.alerts._outlet import OpenOutlet, Outlet, OutletContext, read_table
from gemel.core.stream.alerts._webhook import Webhook

#: By name; each has a `Table` with its options.
KINDS: Mapping[str, Any] = {"aviso": AvisoOutlet, "cap": Cap, "folder": Folder, "webhook": Webhook}


def open_outlet(context: OutletContext) -> OpenOutlet:
    """Return an outlet, open.

    Raises:
        NotFound: There is no such kind.
        InvalidInput: Its options make no sense.
    """
    if context.kind not in KINDS:
        raise not_found("kind of outlet", context.kind, KINDS)
    kind = KINDS[context.kind]
    table = read_table(kind.Table, context)
    if kind in (Folder, Cap):
        table.require_exercise(context)
        outlet = kind(table, context.folder)
    else:
        outlet = kind(table)
    return OpenOutlet(context, table, cast(Outlet, outlet))
