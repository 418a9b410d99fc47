"""An adversarial generator as a proposal: exact whatever the generator, against integrals over all fields."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from gemel.base.errors import InvalidInput, NotFound
from gemel.thematic import lattice as lft
from gemel.thematic.lattice.proposals import GanProposal, GanSettings, train_gan

torch.set_num_threads(1)

THEORY = lft.Phi4(-1.0, 2.0)
QUICK = GanSettings(hidden=12, critic=24, steps=150, encoder_steps=150, batch=128)


@pytest.fixture(scope="module")
def configurations():
    state = lft.thermalise(THEORY, lft.ChainState.fresh(np.zeros((64, 2, 2)), 1), 200)
    drawn, _ = lft.sample(THEORY, state, 50, lambda field: {"field": field.copy()})
    return drawn["field"].reshape(-1, 2, 2)


@pytest.fixture(scope="module")
def trained(configurations):
    return train_gan(configurations, QUICK)


@pytest.fixture(scope="module")
def exact():
    """<phi^2>, <M^2> and ln Z on 2 x 2 sites by sums on a grid, exact to 1e-9 for functions that decay like these."""
    axis = np.linspace(-2.6, 2.6, 40)
    field = np.stack(np.meshgrid(*[axis] * 4, indexing="ij"), axis=-1).reshape(-1, 2, 2)
    weight = np.exp(-THEORY.action(field))
    mean = lambda values: float((weight * values).sum() / weight.sum())  # noqa: E731
    log_z = float(np.log(weight.sum() * (axis[1] - axis[0]) ** 4))
    return mean((field**2).mean((1, 2))), mean(field.mean((1, 2)) ** 2), log_z


def spoiled(proposal, size, share):
    rng = np.random.default_rng(3)
    arrays = {name: value + size * rng.standard_normal(np.shape(value)) for name, value in proposal.arrays.items()}
    return GanProposal(proposal.shape, {**arrays, "covariance": proposal.arrays["covariance"]}, share)


@pytest.mark.parametrize(("size", "share"), [(0.0, 0.25), (0.0, 0.0), (0.15, 0.25), (0.6, 0.5), (0.0, 1.0)])
def test_weights_and_chain_are_exact_however_bad_the_generator(trained, exact, size, share):
    """Within 4.5 sigma of the integrals, for five proposals of very different quality."""
    proposal = spoiled(trained, size, share)
    field, log_q = proposal.propose(60_000, np.random.default_rng(7))
    log_p = -THEORY.action(field)
    values = (field**2).mean((1, 2)), field.mean((1, 2)) ** 2
    walk = lft.independence_metropolis(log_p, log_q, np.random.default_rng(8))
    for measured, wanted in zip(values, exact, strict=False):
        value, error = lft.reweighted(measured, log_p - log_q)
        assert abs(value - wanted) < 4.5 * error < 0.1 * wanted
        chain = lft.gamma_method(measured[walk.chosen])
        assert abs(chain.value - wanted) < 4.5 * chain.error < 0.1 * wanted
    log_z, error = lft.log_normalisation(log_p - log_q)
    assert abs(log_z - exact[2]) < 4.5 * error


def test_without_correction_a_bad_generator_is_wrong(trained, exact):
    """What the weights are for: the plain mean over the same proposals is off by many sigma."""
    field, _ = spoiled(trained, 0.6, 0.5).propose(60_000, np.random.default_rng(7))
    values = (field**2).mean((1, 2))
    assert abs(values.mean() - exact[0]) > 20 * values.std() / np.sqrt(len(values))


def test_conditional_density_is_normalised(trained):
    """The mean of r/u over z from a wide normal distribution u is 1."""
    rng = np.random.default_rng(1)
    x = np.tile(rng.standard_normal((1, 4)) * 0.4, (200_000, 1))
    z = 1.5 * rng.standard_normal((200_000, 4))
    log_u = -0.5 * np.sum((z / 1.5) ** 2, axis=1) - 4 * np.log(1.5) - 2 * np.log(2 * np.pi)
    ratio = np.exp(trained.log_latent(x, z) - log_u)
    assert abs(ratio.mean() - 1.0) < 5 * ratio.std() / np.sqrt(len(ratio)) < 0.1


def test_training_is_a_function_of_its_seed_and_moves_the_generator(configurations, trained):
    again = train_gan(configurations, QUICK)
    assert all(np.array_equal(again.arrays[name], value) for name, value in trained.arrays.items())
    other = train_gan(configurations, dataclasses.replace(QUICK, seed=1))
    assert not np.array_equal(other.arrays["g_last"], trained.arrays["g_last"])
    assert np.abs(trained.arrays["g_last"]).max() > 0.01  # begins at zero


def test_proposals_are_even(trained):
    rng = np.random.default_rng(1)
    x, z = rng.standard_normal((2, 50, 4))
    assert trained.log_joint(-x, -z) == pytest.approx(trained.log_joint(x, z), abs=1e-10)
    assert trained.log_latent(-x, -z) == pytest.approx(trained.log_latent(x, z), abs=1e-10)


def test_a_proposal_survives_its_file(trained, tmp_path):
    trained.save(tmp_path / "gan.npz")
    again = GanProposal.load(tmp_path / "gan.npz")
    assert again.share == trained.share
    assert again.record["settings"] == dataclasses.asdict(QUICK)
    for name, value in trained.arrays.items():
        assert again.arrays[name] == pytest.approx(value, rel=1e-6, abs=1e-6)
    with pytest.raises(NotFound):
        GanProposal.load(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(InvalidInput):
        GanProposal.load(tmp_path / "bad.npz")


def test_what_cannot_be_is_refused(trained, configurations):
    with pytest.raises(InvalidInput):
        GanProposal((2, 3), trained.arrays)
    with pytest.raises(InvalidInput):
        GanProposal((2, 2), trained.arrays, share=1.5)
    with pytest.raises(InvalidInput):
        train_gan(configurations[:10], QUICK)
