"""Rules here as rules there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gemel.base.errors import InvalidInput
from gemel.infra.lake.keeping import Rule

_LOWEST, _NORMAL, _HIGHEST = 1, 3, 5  # priorities of Rucio's transfers, as FTS has them
# What an RSE expression takes as the name of an attribute (`rucio.common.schema.generic`: RSE_ATTRIBUTE).
_ATTRIBUTE = re.compile(r"[A-Za-z0-9._-]{1,30}")


def expressions(rule: Rule, rses: Mapping[str, str]) -> list[tuple[int, str]]:
    """Return the rules of Rucio's, each as copies and RSE expression, that together ask what a rule here asks.

    Sites and tags are attributes of RSEs there (`site=kassel`, `disk=True`). One copy near each of several sites takes
    a rule per site beside that for all copies.

    Args:
        rule: Of gemel's.
        rses: RSEs by storage.

    Raises:
        InvalidInput: Rucio's rules cannot say it.

    >>> from gemel.infra.lake.datasets import Name
    >>> from gemel.infra.lake.keeping import Where
    >>> expressions(Rule("rule-1", Name("a", "b"), 2, Where(near=("kassel",), tags=("disk",))), {})
    [(2, 'disk=True'), (1, 'site=kassel&disk=True')]
    """
    where = rule.where
    if where.apart and rule.copies > 1:
        raise InvalidInput("Rucio's rules cannot ask for copies at different sites ('apart').")
    unmapped = [name for name in where.storages if name not in rses]
    if unmapped:
        raise InvalidInput(f"Storage '{unmapped[0]}' is no RSE there.", hint="Say which RSE it is.")
    for word in (*where.tags, *where.near):
        if not _ATTRIBUTE.fullmatch(word):
            raise InvalidInput(f"'{word}' cannot stand in an RSE expression.")
    named = "|".join(sorted({rses[name] for name in where.storages}))
    parts = [f"({named})" if "|" in named else named] if named else []
    common = [*parts, *(f"{tag}=True" for tag in where.tags)]
    whole = [(rule.copies, "&".join(common) or "*")]
    if len(where.near) == 1 and rule.copies == 1:
        whole = []
    return whole + [(1, "&".join((f"site={site}", *common))) for site in dict.fromkeys(where.near)]


def importance(rule: Rule) -> int:
    """Return the priority of a rule's transfers there: ours is 0 where theirs is 3, from 1 to 5."""
    return min(max(_NORMAL + rule.priority, _LOWEST), _HIGHEST)
