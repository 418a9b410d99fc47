"""What every kind of model keeps: it says what it is, learns the same from the same, and comes back from its arrays."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import GemelError, InvalidInput, NotFound
from gemel.core.learn.models import Answer, Bundle, Description, Kind, Learner, Training
from gemel.core.learn.samples import Port, Samples

_WORDS = 30  # fewest words of a card


class ModelContract:
    """Suite for one kind of model; set `kind`, as it is registered in the entry-point group `gemel.models`.

    It trains `description`, by default the kind's own example, on `samples`, by default made-up smooth functions.

    Attributes:
        kind: The kind.
        count: How many samples it learns from.
    """

    kind: ClassVar[Kind]
    count: ClassVar[int] = 200
    _learned: ClassVar[tuple[Learner, dict[str, Any]] | None] = None

    def description(self) -> Description:
        """Return what is trained."""
        return self.kind.example()

    def samples(self, count: int, seed: int) -> Samples:
        """Return synthetic samples: normal inputs, and outputs that depend on their mean."""
        rng, told = np.random.default_rng(seed), self.description()
        inputs = {port.name: rng.normal(size=(count, *port.shape)).astype(port.dtype) for port in told.inputs}
        mean = np.mean([values.reshape(count, -1).mean(axis=1) for values in inputs.values()], axis=0)
        return Samples(inputs, {port.name: _function(port, mean) for port in told.outputs})

    def learned(self) -> tuple[Learner, dict[str, Any]]:
        """Return the learner after learning, and how it went; it learns once for all tests of a class."""
        if "_learned" not in type(self).__dict__:
            type(self)._learned = self._taught()
        found = type(self)._learned
        assert found is not None
        return found

    def test_it_says_what_it_is(self) -> None:
        """Check for a name, a framework, a task, a card with some words, and an example of its own kind."""
        kind = self.kind
        assert kind.name and kind.framework and kind.task in ("regression", "classification", "generation")
        assert len(kind.card.split()) >= _WORDS, "the card says next to nothing"
        assert kind.example().kind == kind.name
        assert Description.read(kind.example().document()) == kind.example()

    def test_it_tells_how_it_learned(self) -> None:
        """Check that what `fit` returns has steps, seconds, reason and a finite loss."""
        told = self.learned()[1]
        assert {"steps", "seconds", "reason", "loss", "curve"} <= set(told)
        assert told["loss"] is not None and np.isfinite(told["loss"])

    def test_answers_fit_their_ports(self) -> None:
        """Check the shape and type of every answer, that numbers are finite, and that asking changes nothing."""
        learner, told, asked = self.learned()[0], self.description(), self.samples(7, 2)
        answer = learner.predict(asked.inputs)
        for port in told.outputs or told.inputs:
            assert answer[port.name].shape == (7, *port.shape), port.name
            assert answer[port.name].dtype == np.dtype(port.dtype), port.name
            assert np.isfinite(answer[port.name]).all()
        _same(answer, learner.predict(asked.inputs))

    def test_draws_are_random_answers_that_a_seed_repeats(self) -> None:
        """Check draws (draw, sample, *shape), where the kind says that it has them."""
        if not self.kind.draws:
            return
        learner, told, asked = self.learned()[0], self.description(), self.samples(3, 2)
        first, again, other = (learner.predict(asked.inputs, draws=4, seed=seed) for seed in (1, 1, 2))
        for port in told.outputs or told.inputs:
            assert first[port.name].shape == (4, 3, *port.shape)
            assert not np.array_equal(first[port.name], other[port.name])
        _same(first, again)

    def test_it_comes_back_from_its_arrays(self) -> None:
        """Check that a new learner with the arrays, through a bundle as it is stored, answers the same."""
        learner, told, asked = self.learned()[0], self.description(), self.samples(7, 2)
        stored = Bundle.from_dataset(Bundle(told, learner.arrays()).to_dataset())
        again = self.kind.learner(told)
        again.load(stored.arrays)
        _same(learner.predict(asked.inputs), again.predict(asked.inputs))
        assert Bundle(told, again.arrays()).digest == stored.digest

    def test_it_learns_the_same_from_the_same(self) -> None:
        """Check that samples and seed decide what is learned, to the last bit."""
        first, second = self.learned()[0], self._taught()[0]
        assert Bundle(self.description(), first.arrays()).digest == Bundle(self.description(), second.arrays()).digest

    def test_it_refuses_options_that_there_are_not(self) -> None:
        """Check that an unknown option is an error that names it."""
        told = self.description()
        wrong = dataclasses.replace(told, options={**told.options, "no-such-option": 1})
        assert "no-such-option" in _refused(InvalidInput, lambda: self.kind.learner(wrong))

    def test_it_refuses_what_is_not_its_own(self) -> None:
        """Check that arrays of another model are an error, and that a model that knows nothing answers nothing."""
        learner = self.kind.learner(self.description())
        _refused(InvalidInput, lambda: learner.load({"something": np.zeros(3)}))
        _refused(GemelError, lambda: learner.predict(self.samples(2, 0).inputs))

    def test_it_refuses_inputs_that_do_not_fit(self) -> None:
        """Check that a missing input, and one of another shape, are errors that name the port."""
        learner, told = self.learned()[0], self.description()
        inputs, name = dict(self.samples(2, 0).inputs), told.inputs[0].name
        if len(inputs) > 1 or told.outputs:
            others = {port: values for port, values in inputs.items() if port != name} or {"other": np.zeros(2)}
            assert name in _refused((InvalidInput, NotFound), lambda: learner.predict(others))
        wrong = inputs | {name: np.zeros((2, 3, 5, 7))}
        assert name in _refused(InvalidInput, lambda: learner.predict(wrong))

    def _taught(self) -> tuple[Learner, dict[str, Any]]:
        learner = self.kind.learner(self.description())
        told = learner.fit(self.samples(self.count, 0), self.samples(self.count // 4 + 2, 1), Training(seed=5))
        return learner, told


def _function(port: Port, mean: NDArray[Any]) -> NDArray[Any]:
    places = np.linspace(0.0, 1.0, port.size).reshape(port.shape)
    values = np.sin(3.0 * mean.reshape(-1, *(1 for _ in port.shape)) + places)
    return (values > 0.0).astype(np.int64) if port.dtype == "int64" else values.astype(port.dtype)


def _same(first: Answer, second: Answer) -> None:
    assert set(first) == set(second)
    for name, values in first.items():
        assert np.array_equal(values, second[name]), name


def _refused(error: type[BaseException] | tuple[type[BaseException], ...], act: Any) -> str:
    try:
        act()
    except error as found:
        return str(found)
    raise AssertionError("something that cannot be was taken")
