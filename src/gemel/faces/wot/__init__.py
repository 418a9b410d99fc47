"""W3C Web of Things at `/wot`: every twin as a Thing, whose description (TD 1.1) tells its properties, actions and events."""

from gemel.faces.wot._face import WotFace

__all__ = ["WotFace", "face"]

face = WotFace()
