"""Statistical downscaling: a coarse cube made fine with what a fine reference shows of the difference."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.cubes import temporal_dim
from gemel.core.fusion._harmony import in_unit
from gemel.core.fusion._mesh import mesh_of
from gemel.core.fusion._regrid import regrid

Downscaling = Literal["delta", "ratio", "quantile-mapping"]
_QUANTILES = np.linspace(0.01, 0.99, 99)


def downscale(coarse: xr.DataArray, reference: xr.DataArray, method: Downscaling = "delta") -> xr.DataArray:
    """Return the coarse cube on the reference's grid, corrected by what the two show in the time they share.

    Args:
        coarse: A cube in time, such as a climate model's.
        reference: A fine cube in time, such as a reanalysis; it overlaps the coarse one in time.
        method: `delta` adds the mean difference of each calendar month, `ratio` multiplies by the mean quotient (amounts that
            cannot be negative), `quantile-mapping` replaces each value by the reference's at the same rank (Panofsky and
            Brier 1968; values beyond the outer percentiles get the outer correction).

    Raises:
        InvalidInput: The two share no time, or the method is unknown.
        UnitMismatch: They measure different things.
    """
    if method not in ("delta", "ratio", "quantile-mapping"):
        raise InvalidInput(
            f"There is no downscaling method '{method}'.",
            hint="delta, ratio, quantile-mapping, or a process of your own.",
        )
    fine = regrid(in_unit(coarse, reference.attrs.get("units")), mesh_of(reference), "bilinear")
    name = temporal_dim(fine)
    fine = fine.transpose(name, ...)
    known = reference.rename({temporal_dim(reference): name}).transpose(name, ...)
    shared, truth = xr.align(fine, known, join="inner", exclude=[dim for dim in fine.dims if dim != name])
    if not shared.sizes[name]:
        raise InvalidInput(
            "The coarse cube and the reference share no time.", hint="Give a reference that overlaps it."
        )
    if method == "quantile-mapping":
        return fine.copy(data=_mapped(fine.values, shared.values, truth.values))
    return _by_months(fine, shared, truth, name, method)


def _by_months(fine: xr.DataArray, shared: xr.DataArray, truth: xr.DataArray, name: str, method: str) -> xr.DataArray:
    modelled, observed = (part.groupby(f"{name}.month").mean() for part in (shared, truth))
    months = fine[name].dt.month
    correction = (observed - modelled) if method == "delta" else observed / modelled.where(modelled > 0)
    chosen = correction.reindex(month=np.arange(1, 13)).sel(month=months).drop_vars("month")
    made = fine + chosen if method == "delta" else fine * chosen.fillna(1.0)
    return made.transpose(*fine.dims).assign_attrs(fine.attrs)


def _mapped(values: Any, modelled: Any, observed: Any) -> Any:
    shape = values.shape
    flat = [np.asarray(part, float).reshape(part.shape[0], -1) for part in (values, modelled, observed)]
    given, wanted = (np.nanquantile(part, _QUANTILES, axis=0) for part in flat[1:])
    made = np.empty_like(flat[0])
    for cell in range(made.shape[1]):
        correction = wanted[:, cell] - given[:, cell]
        made[:, cell] = flat[0][:, cell] + np.interp(flat[0][:, cell], given[:, cell], correction)
    return made.reshape(shape).astype(values.dtype)
