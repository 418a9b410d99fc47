"""A published twin: one RO-Crate (1.1) in a zip file, with a digest for each file and a signature over all of them."""

from __future__ import annotations

import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from rocrate.rocrate import ROCrate

from gemel.base.errors import GemelError, InvalidInput, ResultCorrupt
from gemel.base.ids import canonical_json, digest_bytes, digest_file
from gemel.core.twin._package import CARD, Twin, package_files

METADATA = "ro-crate-metadata.json"
SIGNATURE = "gemel-signature.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest instant a zip can hold: equal content gives equal bytes
_MEMBER_LIMIT = 1 << 30


@dataclass(frozen=True)
class Crate:
    """What a crate says of itself.

    Attributes:
        content: Digest of the twin's content when it was packed.
        key: Thumbprint (RFC 7638) of the key that signed it.
    """

    id: str
    version: str
    content: str
    key: str


def pack(twin: Twin, target: Path, key: OKPKey, report: dict[str, Any] | None) -> Crate:
    """Return what was packed after writing the twin as a signed RO-Crate zip to `target`."""
    with tempfile.TemporaryDirectory() as folder:
        staging = Path(folder)
        files = {path.relative_to(twin.folder).as_posix(): path for path in package_files(twin.folder)}
        _crate_of(twin, files, report, staging).write(staging)
        digests = {path.relative_to(staging).as_posix(): digest_file(path) for path in package_files(staging)}
        manifest = {"id": twin.id, "version": twin.manifest.twin.version, "content": twin.content, "files": digests}
        signed = jws.serialize_compact(
            {"alg": "Ed25519", "kid": key.thumbprint()}, canonical_json(manifest), key, ["Ed25519"]
        )
        document = {"signature": signed, "key": key.as_dict(private=False)}
        (staging / SIGNATURE).write_text(json.dumps(document, indent=1), encoding="utf-8")
        _zip(staging, target)
    return Crate(twin.id, twin.manifest.twin.version, twin.content, key.thumbprint())


def unpack(source: Path, folder: Path) -> Crate:
    """Return what the crate says after its files, each verified, lie in `folder`.

    Raises:
        ResultCorrupt: The signature, or a file's digest, does not match.
        InvalidInput: It is not a crate of a twin.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            manifest, thumbprint = _verified(archive)
            for name, digest in manifest["files"].items():
                _extract(archive, name, digest, folder)
    except GemelError:  # some of which are OSErrors
        raise
    except (zipfile.BadZipFile, OSError) as error:
        raise InvalidInput(f"{source.name} is not a twin's crate: {error}.") from error
    return Crate(manifest["id"], manifest["version"], manifest["content"], thumbprint)


def _crate_of(twin: Twin, files: dict[str, Path], report: dict[str, Any] | None, staging: Path) -> ROCrate:
    table = twin.manifest.twin
    crate = ROCrate()
    crate.name = table.title or twin.id
    crate.description = table.summary or table.title or twin.id
    crate.license = table.licence
    crate.root_dataset["identifier"] = f"{twin.id}@{table.version}"
    crate.root_dataset["version"] = table.version
    crate.root_dataset["creditText"] = table.citation
    for name, path in files.items():
        described = {"sha256": digest_file(path), "encodingFormat": _media_type(name)}
        crate.add_file(
            str(path), dest_path=name, properties=described | ({"about": {"@id": "./"}} if name == CARD else {})
        )
    if report is not None:
        path = staging / "report.json"
        path.write_text(json.dumps(report, indent=1), encoding="utf-8")
        crate.add_file(str(path), dest_path="report.json", properties={"name": "Report of the checks that were passed"})
    return crate


def _media_type(name: str) -> str:
    kinds = {".py": "text/x-python", ".md": "text/markdown", ".toml": "application/toml", ".csv": "text/csv"}
    return kinds.get(Path(name).suffix, "application/octet-stream")


def _zip(staging: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(staging.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(staging).as_posix(), _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())


def _verified(archive: zipfile.ZipFile) -> tuple[dict[str, Any], str]:
    try:
        document = json.loads(archive.read(SIGNATURE))
        key = OKPKey.import_key(document["key"])
        opened = jws.deserialize_compact(document["signature"], key, ["Ed25519"])
        manifest = json.loads(opened.payload)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput("The crate carries no readable signature of gemel.") from error
    except JoseError as error:
        raise ResultCorrupt("The crate's signature does not match its content.", hint="Pull it again.") from error
    return manifest, key.thumbprint()


def _extract(archive: zipfile.ZipFile, name: str, digest: str, folder: Path) -> None:
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise InvalidInput(f"The crate wants to write outside its folder: '{name}'.")
    if name not in archive.namelist():
        raise ResultCorrupt(f"'{name}' is missing from the crate.", hint="Pull it again.")
    if archive.getinfo(name).file_size > _MEMBER_LIMIT:
        raise InvalidInput(f"'{name}' in the crate is larger than 1 GiB.")
    data = archive.read(name)
    if digest_bytes(data) != digest:
        raise ResultCorrupt(f"'{name}' in the crate does not match its digest.", hint="Pull it again.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
