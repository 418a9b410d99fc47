"""Checkpoints: files that `torch.load` opens, which carry their own digest and are replaced in one moment."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from gemel.base.errors import ResultCorrupt, StoreFull, StoreUnavailable

NEWEST, BEFORE = "checkpoint.pt", "checkpoint.old.pt"
_MARK = b"gemel sha256 "
_TAIL = len(_MARK) + 64
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Store a state as the newest checkpoint; the one before stays as `checkpoint.old.pt`.

    The digest is the comment of the ZIP archive that `torch.save` makes, so that the file stays one.

    Raises:
        StoreFull: No space is left; the checkpoints that were there are as they were.
        StoreUnavailable: The folder cannot be written.
    """
    content = _sealed(state)
    fresh = folder / "checkpoint.new.pt"
    with space(folder):
        try:
            with fresh.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        with contextlib.suppress(FileNotFoundError):
            (folder / NEWEST).replace(folder / BEFORE)
        fresh.replace(folder / NEWEST)


def read_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """Return the newest state that is whole (None where there is no checkpoint), and what is to be noted of it.

    Raises:
        ResultCorrupt: There are checkpoints, and none is whole.
    """
    broken: list[str] = []
    for name in (NEWEST, BEFORE):
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
        state = _opened(content)
        if state is not None:
            note = f"{' and '.join(broken)} was corrupt; it went on from {name}" if broken else ""
            return state, note
        broken.append(name)
    if broken:
        raise ResultCorrupt(
            f"No checkpoint in {folder} matches its digest: {', '.join(broken)}.",
            hint="Remove them to begin anew, or restore the folder from a backup.",
            files=[str(folder / name) for name in broken],
        )
    return None, ""


def _sealed(state: dict[str, Any]) -> bytearray:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = bytearray(buffer.getbuffer())
    comment = _MARK + hashlib.sha256(content).hexdigest().encode()
    # The last two bytes of a ZIP archive say how long the comment after them is.
    content[-2:] = len(comment).to_bytes(2, "little")
    return content + comment


def _opened(content: bytes) -> dict[str, Any] | None:
    body, comment = content[:-_TAIL], content[-_TAIL:]
    if not comment.startswith(_MARK) or len(body) < 2:
        return None
    digest = hashlib.sha256(body[:-2])
    digest.update(b"\0\0")
    if digest.hexdigest().encode() != comment[len(_MARK) :]:
        return None
    try:
        return dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, ValueError):
        return None


@contextlib.contextmanager
def space(folder: Path) -> Iterator[None]:
    """Turn what the disk says while a training writes to its folder into an error that says what to do.

    Raises:
        StoreFull: No space is left.
        StoreUnavailable: The folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            message = f"No space for the training in {folder}; its last checkpoint is untouched."
            hint = "Free space and start the same training again: it goes on."
            raise StoreFull(message, hint=hint, folder=str(folder)) from error
        raise StoreUnavailable(f"The training cannot write to {folder}: {error}.", folder=str(folder)) from error
