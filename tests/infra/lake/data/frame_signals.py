"""The synthetic signals in the frame files beside this: whole numbers by a rule, so that no file needs to hold them."""

from __future__ import annotations

import numpy as np

TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16")
START, RATE, COUNT = 1_000_000_000, 64.0, 80


def signal(kind: str, count: int = COUNT) -> np.ndarray:
    """Return samples that rise, fall, stand still and jump, all of them exact in the type."""
    steps = np.arange(count)
    found = (steps * steps * 7) % 101 - 50
    found[30:50] = 3
    if kind[0] == "u":
        found = found + 60
    if kind in ("i4", "i8"):
        found[60] = 2_000_000_000
    if kind[0] == "f":
        return (found / 8).astype(kind)
    return (found / 8 + 1j * found[::-1] / 4).astype(kind) if kind[0] == "c" else found.astype(kind)
