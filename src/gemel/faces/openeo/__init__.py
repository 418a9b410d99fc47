"""The openEO API 1.2.0 at `/openeo/1.2`: the engine as openEO clients know such services."""

from gemel.faces.openeo._face import OpenEO

__all__ = ["face"]

face = OpenEO()
