"""Normalised differences, of two numbers or of two bands (openEO process specification, group `math > indices`)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gemel.base.errors import ProcessRefused
from gemel.core.cubes import bands_dim, coordinate, labels_of, without_quantity
from gemel.core.graph import Field
from gemel.core.processes._nodata import numeric
from gemel.core.processes._standard import standard
from gemel.core.processes.filters import bands_called


@standard(on="cells", wider=("x", "y"))
def normalized_difference(x: float | None, y: float | None) -> float | None:
    """Difference of two numbers over their sum.

    Args:
        x: The first number.
        y: The second number.
    """
    return numeric(lambda a, b: np.divide(np.subtract(a, b), np.add(a, b)), x, y)


@standard(on="cubes")
def ndvi(data: Field, nir: str = "nir", red: str = "red", target_band: str | None = None) -> Field:
    """The normalised difference vegetation index, (nir - red) / (nir + red) (Rouse et al. 1974).

    Args:
        data: A raster cube with one dimension of kind bands.
        nir: Name or common name of the near infrared band.
        red: Name or common name of the red band.
        target_band: Name of a band that the index becomes beside the others; null for the index alone, without bands.

    Raises:
        ProcessRefused: `DimensionAmbiguous`, `NirBandAmbiguous`, `RedBandAmbiguous`, `BandExists`.
    """
    dim = bands_dim(data, exception="DimensionAmbiguous")
    if target_band is not None and target_band in labels_of(data, dim):
        raise ProcessRefused(f"There is a band '{target_band}' already.", exception="BandExists")
    infrared = data.isel({dim: _band(data, dim, nir, "NirBandAmbiguous")}, drop=True)
    visible = data.isel({dim: _band(data, dim, red, "RedBandAmbiguous")}, drop=True)
    attributes = without_quantity(data.attrs) | {"units": "1"}
    index = normalized_difference.function(infrared.drop_attrs(deep=False), visible.drop_attrs(deep=False))
    made: xr.DataArray = index.astype(data.dtype if data.dtype.kind == "f" else index.dtype)
    if target_band is None:
        return made.assign_attrs(attributes).rename("ndvi")
    labels = coordinate(dim, [*labels_of(data, dim), target_band], "bands")
    bare = data.drop_vars([name for name, item in data.coords.items() if dim in item.dims])
    joined = xr.concat([bare, made.expand_dims(dim)], dim=dim, coords="minimal", compat="override", join="override")
    return joined.transpose(*data.dims).assign_coords({dim: labels}).assign_attrs(without_quantity(data.attrs))


def _band(data: xr.DataArray, dim: str, name: str, exception: str) -> int:
    found = bands_called(data, dim, name)
    if len(found) != 1:
        number = f"{len(found)} bands are" if found else "No band is"
        hint = f"The bands: {', '.join(map(str, labels_of(data, dim)[:12]))}."
        raise ProcessRefused(f"{number} called '{name}'.", exception=exception, hint=hint)
    return found[0]
