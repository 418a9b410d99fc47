"""The one authorisation point. Identity providers and policies plug in here; without them only the owner may do things."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from gemel.base.errors import Denied, Unauthenticated


@dataclass(frozen=True)
class Actor:
    """Who is asking.

    Attributes:
        id: `owner` for whoever holds the engine's token; `link` for whoever holds a signed address; `anonymous` else.
    """

    id: str

    @property
    def is_owner(self) -> bool:
        """Return whether this is the person who started the engine."""
        return self.id == "owner"


@dataclass(frozen=True)
class Decision:
    """Why something was allowed or denied."""

    allowed: bool
    reason: str


# `public` is what a standard demands to be readable by anyone; which routes that are is said by its face.
_PUBLIC = {("read", "health"), ("read", "static"), ("read", "sign-in"), ("read", "public")}


class Authoriser:
    """Tells actors apart and decides what they may do."""

    def __init__(self, token: str) -> None:
        self._token = token

    def actor(self, shown: str | None) -> Actor:
        """Return the owner for the right token, anonymous for none or a wrong one."""
        return Actor("owner" if shown and hmac.compare_digest(shown.encode(), self._token.encode()) else "anonymous")

    def decide(self, actor: Actor, action: str, resource: str) -> Decision:
        """Return whether `actor` may do `action` (read, write) to `resource`, and why."""
        if (action, resource) in _PUBLIC:
            return Decision(True, f"anyone may {action} {resource}")
        if resource == "guarded":
            return Decision(True, "the face that answers there checks tokens of its own")
        if actor.is_owner:
            return Decision(True, "the owner may do everything")
        if actor.id == "link" and (action, resource) == ("read", "linked"):
            return Decision(True, "the owner handed out a signed address for it")
        return Decision(False, f"{actor.id} may not {action} {resource}: the engine is closed by default")

    def require(self, actor: Actor, action: str, resource: str) -> None:
        """Return nothing when allowed.

        Raises:
            Unauthenticated: Nobody signed in, and signing in would help.
            Denied: The actor is known and may not.
        """
        decision = self.decide(actor, action, resource)
        if decision.allowed:
            return
        if actor.id == "anonymous":
            raise Unauthenticated(
                "This engine asks for its token.", hint="Run `gemel up` as the same user, or send it."
            )
        raise Denied(f"Denied: {decision.reason}.")
