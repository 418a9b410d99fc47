"""From a written reference to the file it means."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from gemel.base.errors import InvalidInput, NotFound


def locate(reference: str, *, base: Path | None = None) -> Path:
    """Return the readable local file that `reference` means.

    Args:
        reference: A path, absolute or relative to `base`; ``file:`` and a path; or ``package:NAME/path`` for a file
            that an installed Python package carries.
        base: Folder for relative paths; default the current folder.

    Raises:
        NotFound: There is no such file, or the package is not installed.
        InvalidInput: The reference is empty or names a folder.

    >>> locate("package:gemel/__init__.py").name
    '__init__.py'
    """
    if not reference.strip():
        raise InvalidInput("An empty text is not a reference to data.", hint="Give a path, or package:NAME/path.")
    kind, _, rest = reference.partition(":")
    if kind == "package":
        path = _in_package(rest, reference)
    else:
        path = ((base or Path.cwd()) / Path(rest if kind == "file" else reference).expanduser()).absolute()
    if path.is_dir():
        raise InvalidInput(f"'{reference}' is a folder; a file is needed.", reference=reference)
    if not path.is_file():
        raise NotFound(f"There is no file '{reference}'.", hint=f"Looked at {path}.", reference=reference)
    return path


def _in_package(rest: str, reference: str) -> Path:
    package, _, inner = rest.partition("/")
    # find_spec locates a package without importing it: some carriers of data are slow or noisy to import.
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(f"The package '{package}' of '{reference}' is not installed.", hint=f"pip install {package}")
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    path = (root / inner).resolve()
    if not path.is_relative_to(root):
        raise InvalidInput(f"'{reference}' leaves the package's folder.", reference=reference)
    return path
