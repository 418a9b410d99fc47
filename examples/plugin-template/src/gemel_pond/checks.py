"""A kind of check for everybody's twins."""

import itertools
from collections.abc import Mapping
from typing import Any

from gemel.base.errors import InvalidInput
from gemel.core.trust import Verdict


def steady(value: Any, options: Mapping[str, Any]) -> Verdict:
    """Return a verdict that passes when no two neighbours in a list of numbers differ by more than ``bar``."""
    bar = options.get("bar")
    if not isinstance(bar, (int, float)):
        raise InvalidInput("A check of kind 'steady' needs a number as 'bar'.")
    if not isinstance(value, list) or not all(isinstance(item, (int, float)) for item in value) or len(value) < 2:
        raise InvalidInput("A check of kind 'steady' judges a list of at least two numbers.")
    jump = max(abs(after - before) for before, after in itertools.pairwise(value))
    return Verdict(jump <= bar, jump, bar, "<=", f"largest step among {len(value)} values")
