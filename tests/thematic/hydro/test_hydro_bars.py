"""The figures that the twin claims, on years that no fit has seen."""

from __future__ import annotations

import numpy as np
import pytest

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro import packaged_record, rotate, train, validate

pytestmark = pytest.mark.slow  # a whole model is trained first

SPLITS = [
    ("1980/1984", "1985/1988"),
    ("1983/1988", "1980/1982"),
    ("1980/1982,1986/1988", "1983/1985"),
]


@pytest.fixture(scope="module")
def figures(fulda, model):
    return validate(fulda, model, "1985/1988")


def test_process_model(figures):
    assert float(figures["process_nse"]) >= 0.85


def test_one_day_forecast_beats_persistence(figures):
    assert float(figures["nse_persistence"][0]) == pytest.approx(0.827, abs=5e-4)
    assert float(figures["nse"][0]) > 0.9


def test_every_lead_beats_both_references(figures):
    assert (figures["skill_persistence"] > 0.1).all()
    assert (figures["skill_climate"] > 0.1).all()


def test_intervals_cover(figures):
    assert ((figures["coverage_90"] >= 0.85) & (figures["coverage_90"] <= 0.95)).all()


def test_probabilities_are_reliable(figures):
    miss = np.abs(figures["reliability_forecast"] - figures["reliability_observed"])
    weight = figures["reliability_count"] / figures["reliability_count"].sum()
    assert float((miss * weight).sum()) < 0.05


def test_the_filter_knows_how_far_off_it_is(figures):
    assert 0.7 < float(figures["filter_surprise"]) < 1.4


def test_training_years_are_no_test(fulda, model):
    with pytest.raises(InvalidInput, match="touches training"):
        validate(fulda, model, "1984/1988")


@pytest.mark.slow
def test_hybrid_beats_the_process_model_in_every_rotation_and_seed(fulda):
    table = rotate(fulda, SPLITS, range(5))
    assert (table["hybrid_nse"] > table["process_nse"]).all()


@pytest.mark.slow
def test_the_second_basin_runs_the_same_chain():
    record = packaged_record("leaf")
    figures = validate(record, train(record, "1953-08/1957", 0), "1958/1962")
    assert (figures["skill_persistence"] > 0).all()
    assert (figures["skill_climate"] > 0).all()
    assert float(figures["nse"][0]) > float(figures["nse_persistence"][0])
