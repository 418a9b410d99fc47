"""The notification API of ECMWF's aviso-server at `/aviso`: notify, watch and replay, on the engine's event log."""

from gemel.faces.aviso._face import AvisoFace

__all__ = ["AvisoFace", "face"]

face = AvisoFace()
