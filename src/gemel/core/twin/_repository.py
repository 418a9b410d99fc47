"""A repository of published twins: a folder with one immutable crate for each version."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from joserfc.jwk import OKPKey

from gemel.base.errors import Conflict, NotFound, not_found
from gemel.core.twin._crate import METADATA, SIGNATURE, Crate, pack, unpack
from gemel.core.twin._package import Twin

_SUFFIX = ".crate.zip"


class Repository:
    """Versions of twins under ``ID/ID-VERSION.crate.zip``; a version once published never changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, twin: str, version: str) -> Path:
        """Return where a version's crate lies, whether or not it is there."""
        return self.folder / twin / f"{twin}-{version}{_SUFFIX}"

    def versions(self, twin: str) -> list[str]:
        """Return the published versions of a twin, oldest number first."""
        names = [path.name for path in (self.folder / twin).glob(f"{twin}-*{_SUFFIX}")]
        return sorted((name[len(twin) + 1 : -len(_SUFFIX)] for name in names), key=_order)

    def publish(self, twin: Twin, key: OKPKey, report: dict[str, Any] | None) -> tuple[Crate, Path, bool]:
        """Return (crate, path, whether it is new); publishing the same content again changes nothing.

        Raises:
            Conflict: This version is there already with another content.
        """
        version = twin.manifest.twin.version
        target = self.path(twin.id, version)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".staging-") as folder:
            staging = Path(folder) / target.name
            crate = pack(twin, staging, key, report)
            try:
                # A hard link appears whole and fails when the name is taken, even by another process.
                os.link(staging, target)
            except FileExistsError:
                return self._same(twin, version, target), target, False
        return crate, target, True

    def pull(self, twin: str, version: str | None, folder: Path) -> Crate:
        """Return the crate of a version (the newest by default) after its twin lies, verified, in ``folder/ID``.

        Raises:
            NotFound: There is no such twin or version.
            ResultCorrupt: The crate does not match its signature.
        """
        versions = self.versions(twin)
        if not versions:
            known = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
            raise not_found("published twin", twin, known)
        wanted = version or versions[-1]
        if wanted not in versions:
            raise NotFound(f"Twin '{twin}' has no version {wanted}.", hint=f"There is: {', '.join(versions)}.")
        target = folder / twin
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".staging-") as staging:
            crate = unpack(self.path(twin, wanted), Path(staging) / twin)
            for extra in (METADATA, SIGNATURE, "report.json", "ro-crate-preview.html"):
                (Path(staging) / twin / extra).unlink(missing_ok=True)
            if target.exists():
                target.rename(Path(staging) / "previous")
            (Path(staging) / twin).rename(target)
        return crate

    def _same(self, twin: Twin, version: str, target: Path) -> Crate:
        with tempfile.TemporaryDirectory() as folder:
            published = unpack(target, Path(folder))
        if published.content != twin.content:
            raise Conflict(
                f"Version {version} of '{twin.id}' is published with another content; versions never change.",
                hint="Raise [twin] version in twin.toml and publish again.",
            )
        return published


def _order(version: str) -> tuple[tuple[int, ...], bool, str]:
    numbers, _, tag = version.partition("-")
    # A pre-release comes before its release (semver.org 2.0.0, item 11).
    return tuple(int(part) for part in numbers.split(".")), not tag, tag
