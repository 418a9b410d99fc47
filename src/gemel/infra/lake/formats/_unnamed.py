"""Names for axes that a file leaves without one: equal lengths share a name, so that arrays fit into one dataset."""

from __future__ import annotations

from collections.abc import Sequence


class AxisNames:
    """Names of one group of arrays.

    >>> names = AxisNames()
    >>> names.of((3, 4)), names.of((4,)), names.of((3, 3))
    (('dim_0', 'dim_1'), ('dim_1',), ('dim_0', 'dim_2'))
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], str] = {}

    def of(self, shape: Sequence[int], own: Sequence[str | None] = ()) -> tuple[str, ...]:
        """Return a name for each axis of an array: its own one where there is one, else one by its length.

        Args:
            shape: Lengths of the axes.
            own: Names that the file gives, None where it gives none.
        """
        given = [*own, *[None] * (len(shape) - len(own))]
        names: list[str] = []
        for size, name in zip(shape, given, strict=True):
            names.append(self._numbered(size, names) if name is None or name in names else name)
        return tuple(names)

    def _numbered(self, size: int, taken: list[str]) -> str:
        repeat = 0
        while (name := self._known.setdefault((size, repeat), f"dim_{len(self._known)}")) in taken:
            repeat += 1
        return name
