"""Hydrology: daily records, GR4J with a learned residual, assimilation, calibrated forecasts, alerts, droughts.

Pure functions on xarray objects and JSON-able values; every one is deterministic given its seed. The usual way:
`read_record` or `packaged_record` -> `train` -> `initial_state`, `replay` -> `update` and `forecast` day by day ->
`alerts`; `validate` says how good it is on days that no fit has seen.
"""

from gemel.thematic.hydro._alerts import alerts
from gemel.thematic.hydro._assimilate import initial_state, replay, update
from gemel.thematic.hydro._calibrate import calibrate, process_run
from gemel.thematic.hydro._doubt import variance_shares
from gemel.thematic.hydro._drought import drought_today, spi, ssi
from gemel.thematic.hydro._extremes import fit_gev, gev_quantile, l_moments, low_flow_level, return_levels
from gemel.thematic.hydro._forecast import exceedance, forecast, relive
from gemel.thematic.hydro._hindcast import hindcast
from gemel.thematic.hydro._packaged import PACKAGED, packaged_record
from gemel.thematic.hydro._pet import oudin_pet
from gemel.thematic.hydro._record import make_record, read_record
from gemel.thematic.hydro._residual import hybrid_run, train_residual
from gemel.thematic.hydro._scores import brier, coverage, crps, kge, nse, reliability, skill
from gemel.thematic.hydro._train import assemble, train, train_forecast
from gemel.thematic.hydro._uncertainty import uncertainty
from gemel.thematic.hydro._validate import rotate, simulation_figures, validate

__all__ = [
    "PACKAGED",
    "alerts",
    "assemble",
    "brier",
    "calibrate",
    "coverage",
    "crps",
    "drought_today",
    "exceedance",
    "fit_gev",
    "forecast",
    "gev_quantile",
    "hindcast",
    "hybrid_run",
    "initial_state",
    "kge",
    "l_moments",
    "low_flow_level",
    "make_record",
    "nse",
    "oudin_pet",
    "packaged_record",
    "process_run",
    "read_record",
    "reliability",
    "relive",
    "replay",
    "return_levels",
    "rotate",
    "simulation_figures",
    "skill",
    "spi",
    "ssi",
    "train",
    "train_forecast",
    "train_residual",
    "uncertainty",
    "update",
    "validate",
    "variance_shares",
]
