"""Kinds that draw: flow, vae, gan, diffusion."""

from __future__ import annotations

from gemel.core.learn.portfolio._fields import ACTIVATION
from gemel.core.learn.portfolio._kind import PortfolioKind
from gemel.core.learn.portfolio._options import choice, flag, number, whole, wholes

_NETWORKS = "gemel.core.learn.portfolio.networks"
_BOTH = """
Without outputs it learns the distribution of its inputs, and `predict({}, draws = n)` draws from it; with outputs it learns
their distribution given the inputs, draws tell the doubt, and the one answer is the mean of 200 draws. Ports are flattened.
"""
_PORTS = {"inputs": {"x": "1", "y": "1"}}

flow = PortfolioKind(
    name="flow",
    framework="torch",
    task="generation",
    draws=True,
    told=f"""
A normalising flow: an invertible map between the data and normal numbers, autoregressive, of affine steps (Papamakarios et al.
2017) or rational quadratic splines (Durkan et al. 2019), by zuko. It knows the density of what it draws.
{_BOTH}
Good for densities, likelihood-free inference, fast simulation of a few to some hundred numbers, and for proposals that are
made exact afterwards. Not good for data on a surface of fewer dimensions (its density is infinite there) and for large fields.
""",
    made=f"{_NETWORKS}.flow:learner",
    shown=_PORTS
    | {
        "options": {"transforms": 2, "hidden": [32, 32]},
        "training": {"steps": 300, "batch": 128, "learning_rate": 0.005, "schedule": "cosine", "evaluate": 100},
    },
    options={
        "transform": choice("spline", "step of the map", ("spline", "affine")),
        "transforms": whole(3, "steps"),
        "bins": whole(8, "pieces of a spline", 2),
        "hidden": wholes((64, 64), "widths of the hidden layers"),
        "coupling": flag(False, "whether half of the numbers move at a time: drawing many numbers is faster then"),
    },
    packages=(("torch", "ml"), ("zuko", "ml")),
    methods=(),
)

vae = PortfolioKind(
    name="vae",
    framework="torch",
    task="generation",
    draws=True,
    told=f"""
A variational autoencoder (Kingma & Welling 2014) with a learned noise for each number (Rybkin et al. 2021).
{_BOTH}
`log_density` of its answer is a lower bound, which tells the unusual from the usual. Good for compressing, fast simulation and
finding anomalies. Not good for sharp edges and separate modes, which it smears (take `diffusion` or `flow`).
""",
    made=f"{_NETWORKS}.vae:learner",
    shown=_PORTS
    | {
        "options": {"latent": 2, "hidden": [32, 32]},
        "training": {"steps": 400, "batch": 128, "learning_rate": 0.003, "schedule": "cosine", "evaluate": 100},
    },
    options={
        "latent": whole(8, "latent numbers"),
        "hidden": wholes((64, 64), "widths of the hidden layers, of encoder and decoder"),
        "weight": number(
            1.0, "weight of the divergence from the prior (Higgins et al. 2017); 1 makes the loss a bound"
        ),
        "activation": ACTIVATION,
    },
    methods=(),
)

gan = PortfolioKind(
    name="gan",
    framework="torch",
    task="generation",
    draws=True,
    told=f"""
A generative adversarial network (Goodfellow et al. 2014), with the relativistic loss and penalties on both sides of R3GAN
(Huang et al. 2024); what draws are mean weights. Its measure in validation is the energy distance of draws from data.
{_BOTH}
Learn slowly: with a learning rate above 0.001, or a penalty below 1, draws may come out all alike, for both sides learn by the
same optimiser with momentum. Good for fast simulation with sharp detail, where draws must be cheap. Not good where every mode and tail must be there in its
right proportion (take `diffusion` or `flow`): check the draws.
""",
    made=f"{_NETWORKS}.gan:learner",
    shown=_PORTS
    | {
        "options": {"latent": 2, "hidden": [32, 32]},
        "training": {"steps": 500, "batch": 128, "learning_rate": 0.0005, "optimiser": "adam", "evaluate": 250},
    },
    options={
        "latent": whole(8, "numbers that a draw begins with"),
        "hidden": wholes((64, 64), "widths of the hidden layers, of generator and critic"),
        "penalty": number(3.0, "weight of the squared slope of the critic, at data and at draws"),
        "decay": number(0.995, "of the mean weights, a step", 0.0, 0.999999),
        "activation": ACTIVATION,
    },
    methods=(),
)

diffusion = PortfolioKind(
    name="diffusion",
    framework="torch",
    task="generation",
    draws=True,
    told=f"""
A diffusion model (Ho, Jain & Abbeel 2020) in the form of Karras et al. 2022: a denoiser at all levels of noise, and Heun's method
from noise to data.
{_BOTH}
Good for distributions with modes, correlations and sharp structure; the safest to train of those that draw. Not good where
draws must be fast: each asks the network 2 x `steps` times.
""",
    made=f"{_NETWORKS}.diffusion:learner",
    shown=_PORTS
    | {
        "options": {"hidden": [64, 64], "steps": 16},
        "training": {"steps": 500, "batch": 128, "learning_rate": 0.003, "schedule": "cosine", "evaluate": 250},
    },
    options={
        "hidden": wholes((128, 128, 128), "widths of the hidden layers of the denoiser"),
        "steps": whole(24, "levels of noise that a draw goes through", 2),
        "activation": ACTIVATION,
    },
    methods=(),
)
