"""From a daily record to a forecast model: the processes of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gemel.base.errors import InvalidInput
from gemel.core.graph import Dataset, File, process, progress
from gemel.thematic import hydro

# Packaged files whose layout is their own; anything else is read as the documented CSV.
_PACKAGED = {"fulda_climate.csv": "fulda", "bound.txt": "leaf"}


@process(categories=("hydrology", "import"))
def basin_record(record: File, area: float = 2976.41, latitude: float = 51.0, place: str = "basin") -> Dataset:
    """Daily record of a basin: precipitation, temperature, potential evapotranspiration, discharge.

    Args:
        record: A packaged record, or a CSV file with the columns date, precipitation (mm d-1), temperature (degC),
            discharge (m3 s-1) and optionally pet (mm d-1).
        area: Basin area in km2 (a packaged record brings its own).
        latitude: Degrees north, for potential evapotranspiration (likewise).
        place: Name of the basin (likewise).
    """
    packaged = _PACKAGED.get(Path(record).name)
    if packaged:
        return hydro.packaged_record(packaged)
    try:
        return hydro.read_record(record, area=area, latitude=latitude, place=place)
    except InvalidInput as error:
        raise InvalidInput(f"{Path(record).name}: {error.message}", hint=error.hint, **error.context) from error


@process(categories=("hydrology", "calibration"))
def calibrated(record: Dataset, period: str, seed: int = 0) -> Dataset:
    """Parameters of snow model and GR4J, fitted to a period.

    Args:
        record: Daily record.
        period: Training period, like 1980/1984.
        seed: Seed of the search.
    """
    progress(0.0, "fitting GR4J")
    return hydro.calibrate(record, period, seed)


@process(categories=("hydrology", "learning"))
def residual_trees(record: Dataset, parameters: Dataset, seed: int = 0) -> Dataset:
    """Boosted trees that learn what the process model leaves over, on its training period.

    Args:
        record: Daily record.
        parameters: Fitted process model.
        seed: Seed of the training.
    """
    progress(0.0, "learning the residual")
    return hydro.train_residual(record, parameters, seed)


@process(categories=("hydrology", "learning"))
def runoff_model(record: Dataset, parameters: Dataset, residual: Dataset, seed: int = 0) -> Dataset:
    """The whole forecast model: process parameters, trees, weather archive, and calibrated forecast error.

    Args:
        record: Daily record.
        parameters: Fitted process model.
        residual: Trees of the residual.
        seed: Seed of filter and analogues.
    """
    progress(0.0, "fitting forecast errors on reforecasts of the training period")
    return hydro.assemble(parameters, residual, hydro.train_forecast(record, parameters, residual, seed))


@process(categories=("hydrology",))
def flood_levels(record: Dataset, period: str) -> Dataset:
    """Discharge of floods with given return periods, from the annual maxima of a period.

    Args:
        record: Daily record.
        period: Years to use.
    """
    levels = hydro.return_levels(record, period)
    return levels.assign(low_flow=((), hydro.low_flow_level(record, period), {"units": "m3 s-1"}))


@process(categories=("hydrology",))
def thresholds_of(levels: Dataset) -> list[Any]:
    """The levels a page draws as lines.

    Args:
        levels: Flood levels and the low-flow level.
    """
    floods = [
        {
            "label": f"{period:g}-year flood",
            "value": float(levels["level"].sel(return_period=period)),
            "return_period": period,
        }
        for period in levels["return_period"].values.tolist()
    ]
    return [*floods, {"label": "low flow (Q90)", "value": float(levels["low_flow"]), "return_period": None}]
