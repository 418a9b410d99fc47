"""What a copy between two sites costs: seconds for 1 GB from XRootD to XRootD, beside a bare COPY by curl."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench._report import progress, report
from gemel.infra.lake.datasets import Datasets
from gemel.infra.lake.storages import Storages
from gemel.infra.lake.tokens import Broker
from gemel.infra.lake.transport import _third_party
from gemel.infra.store import open_store, schema

# The servers are those of the tests: Debian's XRootD with TLS, each with a token authority of its own.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "infra" / "lake" / "storages"))
from xrootd_servers import XrootdPair, serving_pair

ROUNDS = 5
SIZE = 1_000_000_000  # bytes


def two_token_copy() -> None:
    """Copy a file of noise (synthetic) from site to site, in rounds that alternate with curl."""
    with tempfile.TemporaryDirectory(prefix="gemel-bench-") as name, serving_pair() as pair:
        home = Path(name)
        store = open_store(f"sqlite:///{home / 'gemel.db'}")
        tokens = Broker(store, schema.metadata.tables, home)
        storages = Storages(store, schema.metadata.tables, home, tokens)
        datasets = Datasets(store, schema.metadata.tables, storages, home)
        for storage, site in (("east", pair.a), ("west", pair.b)):
            tokens.add(storage, "macaroon", site.profile)
            storages.add(storage, "webdav", {"url": site.url, "ca": str(pair.authority.file), "profile": storage})
        file = home / "noise.bin"
        file.write_bytes(np.random.default_rng(1).bytes(SIZE))
        datasets.put(file, "bench:noise.bin", storage="east")
        file.unlink()
        copying: list[float] = []
        with _timed(copying):
            ours, bare, checked = _rounds(datasets, pair)
        store.close()
    # Every second copy brings the file back.
    report("two-token-copy", copying[::2], bare, "s", "COPY by curl, nothing compared", rounds=ROUNDS, bytes=SIZE)
    peer = "COPY by curl, then the destination's adler32 asked by curl"
    report("two-token-copy-compared", ours, checked, "s", peer, rounds=ROUNDS, bytes=SIZE)


@contextlib.contextmanager
def _timed(seconds: list[float]) -> Iterator[None]:
    """Note how long each COPY itself takes, from its request to its last line."""
    copied = _third_party._copied

    def timed(*arguments: Any) -> None:
        begun = time.perf_counter()
        copied(*arguments)
        seconds.append(time.perf_counter() - begun)

    _third_party._copied = timed
    try:
        yield
    finally:
        _third_party._copied = copied


def _rounds(datasets: Datasets, pair: XrootdPair) -> tuple[list[float], list[float], list[float]]:
    ours: list[float] = []
    bare: list[float] = []
    checked: list[float] = []
    source = datasets.get("bench:noise.bin").replicas[0].path
    for number in range(ROUNDS):
        progress(f"two-token-copy: round {number + 1} of {ROUNDS}")
        begun = time.perf_counter()
        _curl(pair, source)
        bare.append(time.perf_counter() - begun)
        _curl_digest(pair)
        checked.append(time.perf_counter() - begun)
        (pair.b.folder / "bare.bin").unlink()
        begun = time.perf_counter()
        done = datasets.replicate("bench:noise.bin", "west")
        ours.append(time.perf_counter() - begun)
        assert done.way == "pull"
        assert done.record.digests["adler32"].confirmed
        datasets.move("bench:noise.bin", "east")
    return ours, bare, checked


def _curl(pair: XrootdPair, source: str) -> None:
    headers = [f"Authorization: Bearer {pair.b.mint()}", f"TransferHeaderAuthorization: Bearer {pair.a.mint()}"]
    headers += [f"Source: {pair.a.url}/{source}", "Credential: none", "Overwrite: T"]
    told = _asked(pair, [f"{pair.b.url}/bare.bin", "-X", "COPY", *(f"-H{header}" for header in headers)])
    assert "success" in told.strip().splitlines()[-1], told


def _curl_digest(pair: XrootdPair) -> None:
    headers = [f"-HAuthorization: Bearer {pair.b.mint()}", "-HWant-Digest: adler32"]
    assert "adler32=" in _asked(pair, [f"{pair.b.url}/bare.bin", "--head", *headers])


def _asked(pair: XrootdPair, arguments: list[str]) -> str:
    command = ["curl", "--silent", "--show-error", "--cacert", str(pair.authority.file), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
