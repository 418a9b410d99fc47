"""Data fusion: bringing cubes and series onto common grids, times and units, comparing and merging them, filling gaps."""

from gemel.core.fusion._healpix import healpix_mesh
from gemel.core.fusion._mesh import Mesh, mesh_of, regular_mesh
from gemel.core.fusion._regrid import METHODS, regrid

__all__ = ["METHODS", "Mesh", "healpix_mesh", "mesh_of", "regrid", "regular_mesh"]
