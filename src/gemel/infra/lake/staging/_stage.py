"""Files to where a job wants them, and from where it left them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemel.base.errors import Conflict, InvalidInput, NotFound
from gemel.infra.lake.datasets import Facts
from gemel.infra.lake.staging._lake import Known, StagingLake
from gemel.infra.lake.staging._pairs import In, Out
from gemel.infra.lake.staging._provenance import Job
from gemel.infra.lake.storages import HOME
from gemel.infra.lake.transport import Hashed, Seen, system_errors

_PIECE = 1 << 20


@dataclass(frozen=True)
class Staged:
    """A file that is where it was wanted.

    Attributes:
        name: In the lake.
        path: On this machine.
        size: In bytes.
        digests: In hexadecimal by algorithm.
        done: `fetched`, `registered`, or `there` when there was nothing to do.
    """

    name: str
    path: Path
    size: int
    digests: Mapping[str, str]
    done: str

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        shown = {"name": self.name, "path": str(self.path), "size": self.size, "digests": dict(self.digests)}
        return shown | {"done": self.done}

    def told(self) -> dict[str, Any]:
        """Return what outputs tell of it as their input."""
        return {"name": self.name, "size": self.size, "sha256": self.digests["sha256"]}


def stage_in(lake: StagingLake, wanted: Sequence[In], *, replace: bool = False) -> list[Staged]:
    """Return the inputs of a job, each whole and compared at its path; one that is there already is left as it is.

    Args:
        lake: Where they are known.
        wanted: A name and a path for each; the files of a group go into the folder at its path.
        replace: Whether another file at a path is replaced.

    Raises:
        NotFound: There is nothing of a name.
        Conflict: Another file is at a path, or two inputs are to lie at one.
        ResultCorrupt: No replica is right; nothing is left at the path.
    """
    planned = [item for pair in wanted for item in _places(lake, pair)]
    taken: set[Path] = set()
    for _, path in planned:
        if path.absolute() in taken:
            raise Conflict(f"Two inputs are to lie at '{path}'.", path=str(path))
        taken.add(path.absolute())
    return [_brought(lake, known, path, replace) for known, path in planned]


def _places(lake: StagingLake, pair: In) -> list[tuple[Known, Path]]:
    found = lake.files(pair.name)
    if len(found) == 1 and found[0].name == pair.name:
        return [(found[0], pair.path)]
    if not found:
        raise NotFound(f"'{pair.name}' holds no file.", name=pair.name)
    return [(known, pair.path / known.name.partition(":")[2]) for known in found]


def _brought(lake: StagingLake, known: Known, path: Path, replace: bool) -> Staged:
    if path.is_file() and known.digests and (seen := _seen(path, known)) is not None:
        return Staged(known.name, path, seen.size, seen.digests, "there")
    if path.exists() and not replace:
        hint = "Name another path, or add --replace."
        raise Conflict(f"Something else than '{known.name}' is at '{path}'.", hint=hint, path=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    lake.fetch(known.name, path.absolute(), replace)
    seen = _read(path)
    return Staged(known.name, path, seen.size, seen.digests, "fetched")


def _seen(path: Path, known: Known) -> Seen | None:
    """Return what a file holds when it is what is known, or None."""
    if known.size is not None and path.stat().st_size != known.size:
        return None
    seen = _read(path, known.digests)
    same = [seen.digests[name] == value for name, value in known.digests.items() if name in seen.digests]
    return seen if same and all(same) else None


def _read(path: Path, wanted: Mapping[str, str] | None = None) -> Seen:
    with system_errors(str(path)), path.open("rb") as file, _Digesting(file, {"md5": ""} if wanted else {}) as stream:
        while stream.read(_PIECE):
            pass
        return stream.seen()


class _Digesting(Hashed):
    """Digests of a file, compared with nothing."""

    def _check(self) -> None:
        """Compare with nothing."""


def stage_out(
    lake: StagingLake,
    made: Sequence[Out],
    *,
    storage: str = HOME,
    facts: Facts | None = None,
    job: Job | None = None,
    into: str | None = None,
) -> list[Staged]:
    """Return the outputs of a job, each stored under its name; what is there already, with the same content, stays.

    Args:
        lake: Where they are to be known.
        made: A path and a name for each.
        storage: Where to.
        facts: Metadata, licence and lifetime of each.
        job: How they came to be; it goes into their metadata as `provenance`.
        into: A dataset to add them to, made when it is new.

    Raises:
        NotFound: A file is not there; then nothing was registered.
        Conflict: A name is in use for another content; then nothing was registered.
    """
    names = [item.name for item in made]
    if len(set(names)) != len(names):
        raise InvalidInput("Two outputs are to have one name.")
    for item in made:
        if not item.path.is_file():
            raise NotFound(f"The job left no file '{item.path}'.", path=str(item.path))
    seen = [_read(item.path, {"md5": ""}) for item in made]
    there = [_is_there(lake, item, digests) for item, digests in zip(made, seen, strict=True)]
    given = facts or Facts()
    told = {**given.metadata, **({"provenance": job.document()} if job else {})}
    full = Facts(told, given.licence, given.lifetime)
    done = [
        _registered(lake, item, digests, storage, full, known)
        for item, digests, known in zip(made, seen, there, strict=True)
    ]
    if into is not None:
        lake.group(into, names)
    return done


def _is_there(lake: StagingLake, item: Out, seen: Seen) -> bool:
    """Return whether a name stands for the content that a file has."""
    try:
        found = lake.files(item.name)
    except NotFound:
        return False
    known = found[0] if len(found) == 1 and found[0].name == item.name else None
    same = known is not None and [seen.digests.get(name) == value for name, value in known.digests.items()]
    if not same or not all(same) or (known and known.size != seen.size):
        message = f"'{item.name}' is in use for another content than that of '{item.path}'."
        raise Conflict(message, hint="Name the output otherwise, or: gemel data remove", name=item.name)
    return True


def _registered(lake: StagingLake, item: Out, seen: Seen, storage: str, facts: Facts, known: bool) -> Staged:
    if not known:
        try:
            lake.put(item.path, item.name, storage, facts, {"sha256": seen.digests["sha256"]})
        except Conflict:
            # Another attempt of the same job may have been quicker.
            known = _is_there(lake, item, seen)
    return Staged(item.name, item.path, seen.size, seen.digests, "there" if known else "registered")
