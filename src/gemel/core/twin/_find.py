"""Finding twins: in a folder, among the ones configured or pulled, and among installed plugins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from gemel.base.errors import GemelError, TwinInvalid, not_found
from gemel.base.plugins import plugins
from gemel.core.twin._manifest import MANIFEST, read_tables
from gemel.core.twin._package import Twin, read_twin


def find_twin(
    name: str, *, near: Path | None = None, folders: Iterable[Path] = (), above: tuple[Path, ...] = ()
) -> Twin:
    """Return the twin called `name`.

    Looked for, in this order: a path to a twin's folder; the folder `name` in `near` (default: the current one);
    the same in each of `folders`; installed plugins. `above` are the instances on the way to it.

    Raises:
        NotFound: There is none.
        TwinInvalid: There is one, and it is malformed.
    """
    for folder, origin in _candidates(name, near or Path.cwd(), folders):
        if (folder / MANIFEST).is_file():
            return load_twin(folder.absolute(), origin=origin, above=above)
    group = plugins("twins")
    if name not in group.names():
        raise not_found("twin", name, {twin for twin, _ in _everywhere(near, folders)}, command="gemel twins")
    return _plugin_twin(name)


def load_twin(
    folder: Path, *, origin: str = "folder", package: ModuleType | None = None, above: tuple[Path, ...] = ()
) -> Twin:
    """Return the twin in `folder`; the twin that an instance is of is looked for beside it.

    `above` are the folders of the instances that lead here.

    Raises:
        TwinInvalid: The manifest or the code is wrong; names file and place.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise TwinInvalid(f"{folder} is not a twin: it has no {MANIFEST}.", hint="gemel new twin NAME")
    table = read_tables(path).get("twin")
    of = table.get("of") if isinstance(table, dict) else None
    if not of:
        return read_twin(folder, origin=origin, package=package)
    here = folder.resolve()
    if here in above:
        raise TwinInvalid(f"{path}: the twin is an instance of itself.", hint="Name another twin in [twin] of.")
    return read_twin(folder, origin=origin, parent=find_twin(str(of), near=folder.parent, above=(*above, here)))


def known_twins(*, near: Path | None = None, folders: Iterable[Path] = ()) -> list[tuple[Twin | None, str, str]]:
    """Return (twin, name, problem) of everything that can be found; twin is None where there is a problem."""
    found: dict[str, tuple[Twin | None, str, str]] = {}
    for name, folder in _everywhere(near, folders):
        if name in found:
            continue
        try:
            found[name] = (load_twin(folder) if folder else _plugin_twin(name), name, "")
        except GemelError as error:
            found[name] = (None, name, error.message)
    return [found[name] for name in sorted(found)]


def _candidates(name: str, near: Path, folders: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    yield Path(name).expanduser() if "/" in name or name == "." else near / name, "folder"
    for folder in folders:
        yield folder / name, "pulled"


def _everywhere(near: Path | None, folders: Iterable[Path]) -> Iterator[tuple[str, Path | None]]:
    for place in (near or Path.cwd(), *folders):
        if place.is_dir():
            yield from ((path.parent.name, path.parent) for path in sorted(place.glob(f"*/{MANIFEST}")))
    yield from ((name, None) for name in plugins("twins").names())


def _plugin_twin(name: str) -> Twin:
    package = plugins("twins").get(name)
    if not isinstance(package, ModuleType) or package.__file__ is None:
        raise TwinInvalid(f"Twin plugin '{name}' is not a package with a {MANIFEST}.")
    return load_twin(Path(package.__file__).parent, origin="plugin", package=package)
