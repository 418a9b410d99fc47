"""The kinds of models that gemel brings: networks of PyTorch, scikit-learn's estimators, Keras; one interface for all."""

from gemel.core.learn.portfolio._courses import lstm, neural_ode, transformer
from gemel.core.learn.portfolio._fields import cnn, graphnet, mlp, unet
from gemel.core.learn.portfolio._generators import diffusion, flow, gan, vae
from gemel.core.learn.portfolio._kind import PortfolioKind
from gemel.core.learn.portfolio._options import Option
from gemel.core.learn.portfolio._tables import boosted_trees, gaussian_process, keras, sklearn

__all__ = [
    "Option",
    "PortfolioKind",
    "boosted_trees",
    "cnn",
    "diffusion",
    "flow",
    "gan",
    "gaussian_process",
    "graphnet",
    "keras",
    "lstm",
    "mlp",
    "neural_ode",
    "sklearn",
    "transformer",
    "unet",
    "vae",
]
