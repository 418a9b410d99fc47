"""Finding the six parameters of the process model on a training period."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import differential_evolution

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro._forcing import climatology, forcing
from gemel.thematic.hydro._kernel import Basin, fresh, simulate
from gemel.thematic.hydro._periods import within
from gemel.thematic.hydro._scores import kge, nse

Array = NDArray[np.float64]

#: Name, unit, lower and upper bound; wider than the 80 % intervals of Perrin et al. 2003, table 1.
PARAMETERS = (
    ("x1", "mm", 20.0, 2000.0),
    ("x2", "mm d-1", -6.0, 5.0),
    ("x3", "mm", 7.0, 500.0),
    ("x4", "d", 0.5, 8.0),
    ("degree_day", "mm K-1 d-1", 0.5, 10.0),
    ("threshold", "degC", -2.0, 3.0),
)

#: Box-Cox power of the error model and the share of mean discharge that is its offset.
POWER, OFFSET_SHARE = 0.2, 0.01

#: Days at the start of any record that are run but never scored.
WARM_UP = 365


def calibrate(record: xr.Dataset, train: str, seed: int = 0, *, generations: int = 30) -> xr.Dataset:
    """Return the parameters that maximise (NSE + KGE) / 2 over the training period, by differential evolution.

    Storn & Price 1997, doi 10.1023/A:1008202821328. The model runs through the whole record, so that states are warm
    wherever the training period starts; only days of the period are compared with observations.

    Args:
        record: Daily record.
        train: Training period, such as `1980/1984`.
        seed: Seed of the search.
        generations: Generations of at most 48 candidates.

    Returns:
        `parameter` (name) with units in `parameter_units`, `climatology` (month, forcing), and attributes: `nse`, `kge`
        of the training period, Box-Cox `offset` (m3 s-1) and `power`, `seed`, what `climatology` says of the basin.

    Raises:
        InvalidInput: Fewer than a year of observed days in the training period after the warm-up year.
    """
    base = climatology(record, train)
    drivers = forcing(record, base)
    observed = record["discharge"].values
    scored = scored_days(record, train)
    free = 6 if base.attrs["has_temperature"] else 4
    scale = base.attrs["area_km2"] / 86.4

    def misfit(x: Array) -> float:
        flow = _run(_vector(x), drivers)[scored] * scale
        return -0.5 * (nse(observed[scored], flow) + kge(observed[scored], flow))

    bounds = [(_search(n, low), _search(n, high)) for n, _, low, high in PARAMETERS[:free]]
    found = differential_evolution(misfit, bounds, rng=seed, maxiter=generations, popsize=8, tol=1e-6, polish=False)
    best = _vector(found.x)
    flow = _run(best, drivers)[scored] * scale
    out = base.assign_coords(name=[p[0] for p in PARAMETERS])
    out["parameter"] = ("name", best, {"long_name": "GR4J and degree-day parameters"})
    out["parameter_units"] = ("name", [p[1] for p in PARAMETERS])
    out.attrs |= {
        "nse": nse(observed[scored], flow),
        "kge": kge(observed[scored], flow),
        "offset": OFFSET_SHARE * float(observed[scored].mean()),
        "power": POWER,
        "seed": seed,
    }
    return out


def scored_days(record: xr.Dataset, period: str) -> NDArray[np.bool_]:
    """Return which days of the record may be compared with the model: in `period`, observed, after the warm-up year.

    Raises:
        InvalidInput: Fewer than 365 of them.
    """
    mask = np.asarray(within(record["time"].values, period) & np.isfinite(record["discharge"].values))
    mask[:WARM_UP] = False
    if mask.sum() < 365:
        raise InvalidInput(
            f"Period {period} holds {int(mask.sum())} observed days after the warm-up year; at least 365 are needed.",
            hint="Choose a longer period inside the record.",
            period=period,
        )
    return mask


def basin(model: xr.Dataset) -> Basin:
    """Return the compiled code's view of the parameters."""
    a = model.attrs
    return Basin(
        np.ascontiguousarray(model["parameter"].values, dtype=np.float64),
        float(a["area_km2"]) / 86.4,
        float(a["offset"]),
        float(a["power"]),
    )


def process_run(record: xr.Dataset, parameters: xr.Dataset) -> xr.DataArray:
    """Return the process model's discharge (time) in m3 s-1 over the whole record, without any observation."""
    return discharge_array(
        _run(basin(parameters).parameters, forcing(record, parameters)) * basin(parameters).scale, record
    )


def discharge_array(values: Array, record: xr.Dataset) -> xr.DataArray:
    """Return values (time) as a discharge field with the record's time axis and CF attributes."""
    attrs = dict(record["discharge"].attrs)
    return xr.DataArray(values, dims="time", coords={"time": record["time"]}, name="discharge", attrs=attrs)


def _run(p: Array, drivers: Array) -> Array:
    return np.asarray(simulate(fresh(p), drivers[:, 0], drivers[:, 1], drivers[:, 2], p))


def _search(name: str, value: float) -> float:
    # Stores span orders of magnitude, so they are searched by their logarithm.
    return float(np.log(value)) if name in ("x1", "x3") else value


def _vector(x: Array) -> Array:
    p = np.array([0.0, 0.0, 0.0, 0.0, 3.0, 0.0])
    p[: len(x)] = x
    p[0], p[2] = np.exp(p[0]), np.exp(p[2])
    return p
