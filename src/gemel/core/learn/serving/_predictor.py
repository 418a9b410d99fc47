"""Predictors: bundles loaded once and kept warm, asked by many threads, for whole tables or event by event."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Answer, Bundle
from gemel.core.learn.uncertainty import answer_dataset, loaded, quantiles_of

Arrays = Mapping[str, NDArray[Any]]
_MOST = 16  # models that are kept loaded


class Predictor:
    """A model in service; every method may be called from several threads at once.

    Attributes:
        bundle: The model.
        learner: It, loaded.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle, self.learner = bundle, loaded(bundle)

    @classmethod
    def of(cls, bundle: Bundle) -> Predictor:
        """Return the predictor of a bundle, loaded when it is asked for first; the 16 asked for last are kept.

        Raises:
            InvalidInput: The bundle's arrays are not those of its description.
        """
        return _kept.of(bundle)

    @classmethod
    def warm(cls, digest: str, load: Callable[[], Bundle]) -> Predictor:
        """Return the predictor of the bundle with a digest, which is read only when it is not kept.

        Args:
            digest: Of the bundle, `Bundle.digest`.
            load: Reads the bundle.

        Raises:
            InvalidInput: The bundle's arrays are not those of its description.
        """
        return _kept.warm(digest, load)

    def predict(self, inputs: Arrays, *, draws: int = 0, seed: int = 0, chunk: int = 65_536) -> Answer:
        """Return the answer, (sample, *shape) by port; with `draws`, (draw, sample, *shape).

        Args:
            inputs: (sample, *shape) by port, in the ports' units.
            draws: How many random answers; 0 for the one best.
            seed: Of the draws.
            chunk: Samples worked off at a time, so that memory stays bounded.

        Raises:
            InvalidInput: Inputs do not fit their ports.
        """
        count = max((len(values) for values in map(np.atleast_1d, inputs.values())), default=0)
        if count <= chunk:
            return self.learner.predict(inputs, draws=draws, seed=seed)
        parts = [
            self.learner.predict(part, draws=draws, seed=seed + number)
            for number, part in enumerate(_pieces(inputs, count, chunk))
        ]
        axis = 1 if draws else 0
        return {name: np.concatenate([part[name] for part in parts], axis=axis) for name in parts[0]}

    def event(self, values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return the answer to one event: *shape by port, for inputs of *shape by port.

        Raises:
            InvalidInput: An input does not fit its port.
        """
        answer = self.learner.predict({name: np.asarray(value)[np.newaxis] for name, value in values.items()})
        return {name: found[0] for name, found in answer.items()}

    def quantiles(self, inputs: Arrays, levels: Sequence[float] = (0.05, 0.5, 0.95)) -> dict[str, NDArray[Any]]:
        """Return quantiles of the answer, (level, sample, *shape) by port; none of ports without doubt."""
        return quantiles_of(self.learner, self.bundle.description, inputs, levels)

    def dataset(
        self, inputs: xr.Dataset, levels: Sequence[float] = (0.05, 0.5, 0.95), *, along: str | None = None
    ) -> xr.Dataset:
        """Return the answer to a dataset, see `gemel.core.learn.uncertainty.answer_dataset`."""
        return answer_dataset(self.bundle, inputs, levels, learner=self.learner, along=along)


class _Kept:
    """The predictors asked for last, by digest of their bundle."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._digests: WeakKeyDictionary[Bundle, str] = WeakKeyDictionary()
        self._predictors: OrderedDict[str, Predictor] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}

    def of(self, bundle: Bundle) -> Predictor:
        return self.warm(self._digest(bundle), lambda: bundle)

    def warm(self, digest: str, load: Callable[[], Bundle]) -> Predictor:
        with self._lock:
            if digest in self._predictors:
                self._predictors.move_to_end(digest)
                return self._predictors[digest]
            own = self._loading.setdefault(digest, threading.Lock())
        # Threads that ask for the same model wait for one of them to load it; others are not held up.
        with own:
            found = self._predictors.get(digest) or Predictor(load())
            with self._lock:
                self._predictors[digest] = found
                self._predictors.move_to_end(digest)
                self._loading.pop(digest, None)
                while len(self._predictors) > self._most:
                    self._predictors.popitem(last=False)
        return found

    def _digest(self, bundle: Bundle) -> str:
        found = self._digests.get(bundle)
        if found is None:
            found = self._digests[bundle] = bundle.digest
        return found


def _pieces(inputs: Arrays, count: int, chunk: int) -> list[dict[str, Any]]:
    short = [name for name, values in inputs.items() if len(values) != count]
    if short:
        raise InvalidInput(f"Input '{short[0]}' has {len(inputs[short[0]])} samples, another has {count}.")
    return [{name: values[at : at + chunk] for name, values in inputs.items()} for at in range(0, count, chunk)]


_kept = _Kept(_MOST)
