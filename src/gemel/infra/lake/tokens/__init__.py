"""Tokens for storages: for each the least that one operation in one folder needs, from whoever gives it."""

from gemel.infra.lake.tokens._broker import Broker
from gemel.infra.lake.tokens._macaroon import Macaroon
from gemel.infra.lake.tokens._profiles import KINDS, Profile
from gemel.infra.lake.tokens._token import OPERATIONS, Operation, Token

__all__ = ["KINDS", "OPERATIONS", "Broker", "Macaroon", "Operation", "Profile", "Token"]
