"""Search for the settings of a model with Optuna: on many processes, with pruning, resumed when it was interrupted."""

from gemel.core.learn.search._search import Found, Report, Trial, search
from gemel.core.learn.search._space import SearchSpace

__all__ = ["Found", "Report", "SearchSpace", "Trial", "search"]
