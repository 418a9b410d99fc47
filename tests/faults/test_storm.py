"""Engine, broker and consumer are killed at random during a replay: one run per cause, and nothing is lost."""

from __future__ import annotations

import pytest
from storm import Storm

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


def test_a_storm_loses_nothing_and_doubles_nothing(store_url, tmp_path):
    found = Storm(tmp_path / "storm", store_url, kills=18, observations=60, seed=20261122).run()
    assert found.wrong == [], found
    assert sum(found.kills.values()) == 18 and set(found.kills) == {"engine", "broker", "consumer"}
