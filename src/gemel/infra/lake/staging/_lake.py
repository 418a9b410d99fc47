"""What staging needs of a lake: in the engine's folder, or over its address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gemel.infra.lake.datasets import Datasets, Facts, Record


@dataclass(frozen=True)
class Known:
    """What is known of a file: its name, its size in bytes, its digests in hexadecimal by algorithm."""

    name: str
    size: int | None
    digests: Mapping[str, str]


class StagingLake(Protocol):
    """A lake that jobs are staged from and to."""

    def files(self, name: str) -> Sequence[Known]:
        """Return the file of a name, or all files of a group.

        Raises:
            NotFound: There is nothing of that name.
        """
        ...

    def fetch(self, name: str, target: Path, replace: bool) -> None:
        """Bring a file, compared with its digests; nothing is left of one that is not right."""
        ...

    def put(self, file: Path, name: str, storage: str, facts: Facts, digests: Mapping[str, str]) -> None:
        """Store a file under a new name.

        Raises:
            Conflict: The name is in use.
        """
        ...

    def group(self, name: str, members: Sequence[str]) -> None:
        """Put files into a dataset, made when it is new."""
        ...


class HomeLake:
    """A lake in the engine's own folder.

    Args:
        datasets: Of the engine.
    """

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets

    def files(self, name: str) -> Sequence[Known]:
        """Return the file of a name, or all files of a group."""
        return [_known(record) for record in self._datasets.files(name)]

    def fetch(self, name: str, target: Path, replace: bool) -> None:
        """Bring a file."""
        self._datasets.fetch(name, target, replace=replace)

    def put(self, file: Path, name: str, storage: str, facts: Facts, digests: Mapping[str, str]) -> None:
        """Store a file under a new name."""
        self._datasets.put(file, name, storage=storage, facts=facts, digests=digests)

    def group(self, name: str, members: Sequence[str]) -> None:
        """Put files into a dataset."""
        self._datasets.group(name, members)


def _known(record: Record) -> Known:
    return Known(str(record.name), record.size, {name: item.value for name, item in record.digests.items()})
