"""Keeping: rules, lifetimes and quotas that hold by themselves, and copies that stay as they were written."""

from gemel.infra.lake.keeping._keeper import Keeper, Pace, Round
from gemel.infra.lake.keeping._placement import Placement, placement
from gemel.infra.lake.keeping._reclaiming import Reclaimed
from gemel.infra.lake.keeping._rules import Rule, Rules, Where

__all__ = ["Keeper", "Pace", "Placement", "Reclaimed", "Round", "Rule", "Rules", "Where", "placement"]
