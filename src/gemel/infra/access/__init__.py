"""Access: who is asking, and the one point at which every request is allowed or denied."""

from gemel.infra.access._authorise import Actor, Authoriser, Decision
from gemel.infra.access._links import SignedLinks
from gemel.infra.access._token import read_token, token_path

__all__ = ["Actor", "Authoriser", "Decision", "SignedLinks", "read_token", "token_path"]
