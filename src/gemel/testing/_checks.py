"""What every kind of check keeps: a clear verdict on what it can judge, and words on what it cannot."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from gemel.base.errors import InvalidInput
from gemel.core.trust import Check, Verdict


class CheckContract:
    """Suite for one kind of check; set `check`, and pairs of (value, options) that it passes, refuses, or cannot judge."""

    check: ClassVar[Check]
    passing: ClassVar[Sequence[tuple[Any, Mapping[str, Any]]]]
    failing: ClassVar[Sequence[tuple[Any, Mapping[str, Any]]]]
    unusable: ClassVar[Sequence[tuple[Any, Mapping[str, Any]]]] = ()

    def test_it_passes_what_is_good(self) -> None:
        """Check that good values pass."""
        assert self.passing
        for value, options in self.passing:
            assert _verdict(self, value, options).passed, (value, options)

    def test_it_refuses_what_is_bad(self) -> None:
        """Check that bad values do not pass: a check that never fails says nothing."""
        assert self.failing
        for value, options in self.failing:
            assert not _verdict(self, value, options).passed, (value, options)

    def test_its_verdict_can_be_reported(self) -> None:
        """Check that a verdict is JSON and says how it compared."""
        for value, options in (*self.passing, *self.failing):
            verdict = _verdict(self, value, options)
            assert isinstance(verdict, Verdict)
            assert verdict.comparison
            assert isinstance(verdict.passed, bool)
            json.dumps(asdict(verdict))

    def test_what_it_cannot_judge_is_an_error_in_words(self) -> None:
        """Check that unusable values or options raise `InvalidInput` and nothing else."""
        for value, options in self.unusable:
            try:
                _verdict(self, value, options)
            except InvalidInput as error:
                assert error.message
            else:
                raise AssertionError(f"{value!r} with {dict(options)!r} was judged")


def _verdict(suite: CheckContract, value: Any, options: Mapping[str, Any]) -> Verdict:
    # As it stands in the class: a plain function set there is not a method of the suite.
    found = inspect.getattr_static(type(suite), "check")
    check: Check = found.__func__ if isinstance(found, staticmethod) else found
    return check(value, options)
