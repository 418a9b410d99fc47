"""OSCAR's REST interface at `/system`, `/run` and `/job`: services in its Function Definition Language, run as functions of the engine."""

from gemel.faces.oscar._face import OscarFace
from gemel.faces.oscar._fdl import function_of, service_of

__all__ = ["OscarFace", "face", "function_of", "service_of"]

face = OscarFace()
