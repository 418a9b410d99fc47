"""Layers of flows: invertible, with the determinant of their Jacobian, and equivariant, all to rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gemel.base.errors import InvalidInput
from gemel.thematic import lattice as lft
from gemel.thematic.lattice import flows

torch.set_num_threads(1)

PHI4 = {"theory": "phi4", "extent": 4, "mass_squared": -4.0, "coupling": 8.0, "layers": 4, "hidden": 8, "reach": 1}
U1 = {"theory": "u1", "extent": 4, "beta": 2.0, "layers": 8, "hidden": 8}
SPECS = {
    "spline": PHI4, "affine": PHI4 | {"knots": 0}, "noise": PHI4 | {"prior": "noise"}, "gauge": U1,
    "gauge wide": U1 | {"extent": 8, "reach": 2, "knots": 7}, "uniform": U1 | {"prior": "uniform"},
    "conditional": {**U1, "beta": None, "span": [1.0, 5.0]},
}  # fmt: skip


def stirred(document, seed=3):
    """A flow far from the identity, in float64: a flow with fresh weights would pass any of these tests."""
    flow = flows.build(flows.FlowSpec.read(document)).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.15 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return flow


def drawn(flow, count=64, seed=5):
    generator = torch.Generator().manual_seed(seed)
    coupling = None if flow.span is None else torch.linspace(*flow.span, count, dtype=torch.float64)
    return flow.draw_prior(count, generator, coupling), coupling


def apart(a, b, *, angles):
    """Largest difference, of angles around the circle."""
    difference = torch.remainder(a - b + math.pi, 2 * math.pi) - math.pi if angles else a - b
    return difference.abs().max().item()


@pytest.mark.parametrize("name", SPECS)
def test_inverse_gives_back_what_went_in(name):
    flow = stirred(SPECS[name])
    z, coupling = drawn(flow)
    with torch.no_grad():
        x, logdet = flow(z, coupling)
        back, undone = flow.inverse(x, coupling)
    angles = SPECS[name]["theory"] == "u1"
    assert apart(x, z, angles=angles) > 0.1  # it did something
    assert apart(back, z, angles=angles) < 1e-10
    assert (logdet + undone).abs().max().item() < 1e-8


@pytest.mark.parametrize("name", ["spline", "affine", "noise"])
def test_log_determinant_is_that_of_the_jacobian_of_a_scalar_field(name):
    flow = stirred(SPECS[name])
    z, _ = drawn(flow, 3)
    for field in z:
        jacobian = torch.autograd.functional.jacobian(
            lambda flat: flow(flat.view(1, 4, 4))[0].flatten(), field.flatten()
        )
        assert torch.linalg.slogdet(jacobian)[1].item() == pytest.approx(flow(field[None])[1].item(), abs=1e-8)


def test_tails_of_splines_count_in_the_determinant():
    flow = stirred(SPECS["spline"])
    field = torch.full((16,), 9.0, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda flat: flow(flat.view(1, 4, 4))[0].flatten(), field)
    assert torch.linalg.slogdet(jacobian)[1].item() == pytest.approx(flow(field.view(1, 4, 4))[1].item(), abs=1e-8)
    back, _ = flow.inverse(flow(field.view(1, 4, 4))[0])
    assert (back - 9.0).abs().max().item() < 1e-10


@pytest.mark.parametrize("name", ["gauge", "conditional"])
def test_log_determinant_is_that_of_the_jacobian_of_plaquettes_and_of_links(name):
    """Of plaquettes by V - 1 of these, the last closing the torus; of links by all 2 V of these."""
    flow = stirred(SPECS[name])
    z, coupling = drawn(flow, 2)
    first = None if coupling is None else coupling[:1]

    def closed(free):
        whole = torch.cat([free, -free.sum()[None]])
        return flow(whole.view(1, 4, 4), first)[0].flatten()[:-1]

    jacobian = torch.autograd.functional.jacobian(closed, z[0].flatten()[:-1])
    logdet = flow(z[:1], first)[1].item()
    assert torch.linalg.slogdet(jacobian)[1].item() == pytest.approx(logdet, abs=1e-8)
    linked = flows.LinkFlow(flow)
    links = torch.as_tensor(lft.links_of(z[:1].numpy()))
    whole = torch.autograd.functional.jacobian(
        lambda flat: linked(flat.view(1, 2, 4, 4), first)[0].flatten(), links.flatten()
    )
    assert torch.linalg.slogdet(whole)[1].item() == pytest.approx(logdet, abs=1e-8)


def test_scalar_flow_commutes_with_reflection_and_even_translations():
    flow = stirred(SPECS["spline"])
    z, _ = drawn(flow)
    with torch.no_grad():
        x, logdet = flow(z)
        mirrored, mirrored_logdet = flow(-z)
        moved, _ = flow(z.roll((1, 1), (1, 2)))
    assert (mirrored + x).abs().max().item() < 1e-10
    assert (mirrored_logdet - logdet).abs().max().item() < 1e-10
    assert (moved - x.roll((1, 1), (1, 2))).abs().max().item() < 1e-10


def test_gauge_flow_commutes_with_charge_conjugation_and_with_translations_by_its_period():
    flow = stirred(SPECS["gauge wide"])
    z, _ = drawn(flow)
    with torch.no_grad():
        x, logdet = flow(z)
        conjugate, other = flow(-z)
        moved, _ = flow(z.roll((4, 4), (1, 2)))
    assert apart(conjugate, -x, angles=True) < 1e-10
    assert (other - logdet).abs().max().item() < 1e-10
    assert apart(moved, x.roll((4, 4), (1, 2)), angles=True) < 1e-10


def test_plaquettes_stay_those_of_a_torus():
    flow = stirred(SPECS["gauge wide"])
    x, _ = flow.sample(64, torch.Generator().manual_seed(2))
    total = x.detach().sum(dim=(1, 2)).numpy()
    assert np.abs(lft.wrapped(total)).max() < 1e-10
    assert len(set(np.rint(total / (2 * np.pi)))) > 1  # several topological sectors


class TestLinks:
    """The same flow as a map of gauge fields."""

    flow = flows.LinkFlow(stirred(U1))
    rng = np.random.default_rng(4)
    links = torch.as_tensor(rng.uniform(-np.pi, np.pi, size=(16, 2, 4, 4)))
    gauge = rng.uniform(-np.pi, np.pi, size=(16, 4, 4))

    def transformed(self, links):
        return torch.as_tensor(lft.gauge_transformed(links.numpy(), self.gauge))

    def test_it_commutes_with_gauge_transformations(self):
        with torch.no_grad():
            after, logdet = self.flow(self.links)
            other, other_logdet = self.flow(self.transformed(self.links))
        assert apart(other, self.transformed(after), angles=True) < 1e-10
        assert (other_logdet - logdet).abs().max().item() < 1e-10

    def test_its_density_is_gauge_invariant(self):
        with torch.no_grad():
            one, two = self.flow.log_prob(self.links), self.flow.log_prob(self.transformed(self.links))
        assert (one - two).abs().max().item() < 1e-10

    def test_its_plaquettes_are_those_of_the_flow_of_plaquettes(self):
        angles = torch.as_tensor(lft.plaquettes(self.links.numpy()))
        with torch.no_grad():
            after, _ = self.flow(self.links)
            wanted, _ = self.flow.flow(angles)
        assert apart(torch.as_tensor(lft.plaquettes(after.numpy())), wanted, angles=True) < 1e-10

    def test_inverse_gives_back_the_links(self):
        with torch.no_grad():
            back, _ = self.flow.inverse(self.flow(self.links)[0])
        assert apart(back, self.links, angles=True) < 1e-10

    def test_samples_have_the_density_that_they_say(self):
        with torch.no_grad():
            links, log_q = self.flow.sample(64, torch.Generator().manual_seed(1))
            again = self.flow.log_prob(links)
        assert (again - log_q).abs().max().item() < 1e-8
        # Wilson loops around the torus are uniform: the mean of 64 phases has a size of about 1/8.
        loops = torch.exp(1j * links[:, 0, :, 0].sum(1)).mean().abs().item()
        assert loops < 0.5

    def test_flows_of_scalar_fields_move_no_links(self):
        with pytest.raises(InvalidInput):
            flows.LinkFlow(stirred(SPECS["spline"]))


@pytest.mark.parametrize("name", SPECS)
def test_sampled_density_is_the_density_at_the_sample(name):
    flow = stirred(SPECS[name])
    _, coupling = drawn(flow)
    with torch.no_grad():
        x, log_q = flow.sample(64, torch.Generator().manual_seed(9), coupling)
        again = flow.log_prob(x, coupling)
    # The scale of ln q is 10 to 100, and badly stirred splines lose some digits.
    assert (again - log_q).abs().max().item() < 1e-7


def test_density_of_the_prior_is_that_of_the_reference():
    angles, log_density = lft.prior_plaquettes(2.5, (4, 4), 100, np.random.default_rng(1))
    ours = flows.VonMises(4, 2.5).log_density(torch.as_tensor(angles)).numpy()
    assert ours == pytest.approx(log_density, abs=1e-10)
    told = flows.VonMises(4, 0.0).log_density(torch.as_tensor(angles), torch.full((100, 1), 2.5, dtype=torch.float64))
    assert told.numpy() == pytest.approx(log_density, abs=1e-10)


def test_density_of_a_flow_integrates_to_one():
    """The mean of q/u over uniform u on the V - 1 = 15 free angles is 1.

    At beta = 0.3 and gently stirred the ratio varies little: 20,000 samples, checked at 5 sigma of their own deviation.
    """
    flow = flows.build(flows.FlowSpec.read(U1 | {"beta": 0.3, "layers": 4})).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.15 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        angles, log_u = lft.prior_plaquettes(0.0, (4, 4), 20_000, np.random.default_rng(2))
        ratio = np.exp(flow.log_prob(torch.as_tensor(angles)).numpy() - log_u)
    assert ratio.std() > 0.3
    assert abs(ratio.mean() - 1.0) < 5 * ratio.std() / np.sqrt(len(ratio))


def test_defended_mixture_has_its_density_and_bounded_weights():
    flow = stirred(U1)
    mixture = flows.Defended(flow, 0.3)
    with torch.no_grad():
        x, log_q = mixture.sample(400, torch.Generator().manual_seed(1))
        assert (mixture.log_prob(x) - log_q).abs().max().item() < 1e-7
        assert (log_q - flow.log_prior(x)).min().item() > math.log(0.3) - 1e-9
        assert (log_q - flow.log_prob(x)).min().item() > math.log(0.7) - 1e-7
    with pytest.raises(InvalidInput):
        flows.Defended(flow, 0.0)


@pytest.mark.parametrize("name", ["gauge", "conditional"])
@pytest.mark.parametrize("share", [1e-9, 1.0 - 1e-9])
def test_defended_mixture_may_draw_from_one_part_alone(name, share):
    flow = stirred(SPECS[name])
    _, coupling = drawn(flow, 5)
    with torch.no_grad():
        x, log_q = flows.Defended(flow, share).sample(5, torch.Generator().manual_seed(1), coupling)
        wanted = flow.log_prob(x, coupling) if share < 0.5 else flow.log_prior(x, coupling)
    assert log_q.numpy() == pytest.approx(wanted.numpy(), abs=1e-5)


def test_coupling_and_flow_have_to_fit():
    with pytest.raises(InvalidInput):
        stirred(U1).sample(2, torch.Generator(), torch.ones(2, dtype=torch.float64))
    with pytest.raises(InvalidInput):
        stirred(SPECS["conditional"]).sample(2, torch.Generator())
