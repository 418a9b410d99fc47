"""Write the frame files beside this with the two programs that detectors use, frameCPP and FrameL.

Both are GPL software, which gemel neither needs nor contains; run it in an environment of its own:

    uv venv frames && uv pip install --python frames gwframe lalsuite
    frames/bin/python tests/infra/lake/data/make_frames.py
"""

from __future__ import annotations

from pathlib import Path

import gwframe
import lal
import lalframe
import numpy as np
from frame_signals import COUNT, RATE, START, TYPES, signal

_HERE = Path(__file__).parent
_NAMES = {"i2": "INT2", "i4": "INT4", "i8": "INT8", "u2": "UINT2", "u4": "UINT4", "f4": "REAL4", "f8": "REAL8",
          "c8": "COMPLEX8", "c16": "COMPLEX16"}  # fmt: skip


def by_framecpp() -> None:
    """Write a file for each way of compression (the codes of FrVect, and 6 for the best of them)."""
    for code in (256, 257, 259, 261, 264, 266, 6):
        channels = {f"X1:{kind}": signal(kind) for kind in TYPES}
        file = str(_HERE / f"framecpp-{code}.gwf")
        gwframe.write(file, channels, start=START, sample_rate=RATE, name="X1", unit="m", compression=code)
    nothing = np.zeros(10_000_128, "u1")  # more samples than labels are held for, and few bytes
    gwframe.write(
        str(_HERE / "framecpp-long.gwf"), nothing, start=START, sample_rate=4096, name="X1:long", compression=257
    )
    with gwframe.FrameWriter(str(_HERE / "framecpp-three.gwf")) as writer:
        ramp = np.arange(192, dtype="i4")
        for second in range(3):
            part = ramp[second * 64 : second * 64 + 64]
            writer.write(part, start=START + second, sample_rate=RATE, name="X1:ramp", unit="m")


def by_framel() -> None:
    """Write one file with every kind of channel that LALFrame knows."""
    start = lal.LIGOTimeGPS(START, 500_000_000)
    frame = lalframe.FrameNew(start, COUNT / RATE, "X1", -1, 0, 0)
    for kind, name in _NAMES.items():
        for structure in ("Proc", "Sim", "Adc"):
            add = getattr(lalframe, f"FrameAdd{name}TimeSeries{structure}Data", None)
            if add is None:
                continue
            create = getattr(lal, f"Create{name}TimeSeries")
            series = create(f"X1:{structure}-{kind}", start, 0, 1 / RATE, lal.StrainUnit, COUNT)
            series.data.data = signal(kind)
            add(frame, series)
    lalframe.FrameWrite(frame, str(_HERE / "framel.gwf"))


if __name__ == "__main__":
    by_framecpp()
    by_framel()
    print(gwframe.__version__, lalframe.__version__)
