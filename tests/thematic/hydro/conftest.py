from __future__ import annotations

import pytest

from gemel.thematic.hydro import initial_state, packaged_record, replay, train


@pytest.fixture(scope="session")
def fulda():
    return packaged_record("fulda")


@pytest.fixture(scope="session")
def model(fulda):
    """A forecast model of the Fulda that knows 1980-1984 and nothing else."""
    return train(fulda, "1980/1984", 0)


@pytest.fixture(scope="session")
def state(fulda, model):
    """The state at the end of 1985-12-31, every day of 1985 assimilated after a year of warm-up."""
    start = initial_state(model, "1983-12-31", members=50, seed=3)
    return replay(start, fulda.sel(time=slice("1984-01-01", "1985-12-31")), model)
