"""A process for everybody's graphs."""

from gemel import Field, Number, process


@process(categories=("hydrology",))
def evaporation(temperature: Field["degC"], radiation: Number["MJ m-2 d-1"]) -> Field["mm d-1"]:
    """Potential evaporation from temperature and extraterrestrial radiation.

    The formula of Oudin et al. (2005, Journal of Hydrology 303, 290-306, equation 3): radiation over the latent heat
    of 2.45 MJ kg-1, times (T + 5 degC) / 100, and zero below -5 degC.

    Args:
        temperature: Daily mean air temperature.
        radiation: Extraterrestrial radiation of the day.
    """
    potential = radiation / 2.45 * (temperature + 5.0) / 100.0
    return potential.where(temperature > -5.0, 0.0).assign_attrs(units="mm d-1")
