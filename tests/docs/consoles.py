r"""Walks a document as a reader would: runs its commands, writes its files, makes its edits, and compares what is shown.

In a document, a fenced block is

* ``console``: after each line ``$ command`` stands what it prints, shortened at will; ``…`` stands for any text. With the
  line ``<!-- exit: 3 -->`` above the block its last command ends with that code, every other one with 0;
* any block with ``title="name"``: a file that the reader writes;
* ``python`` without a title: code that runs as it is;
* ``diff``: an edit, after a first line ``--- name``;
* anything else, such as ``sh``: shown, not run.

Each printed line must be found in what the command really prints. Numbers may differ by two in a hundred, seconds and
digests at will; the id of a run stands for whatever id that run really got, also in later commands.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"(?:<!-- exit: (?P<exit>\d+) -->\n\n?)?^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.M | re.S)
_TITLE = re.compile(r'title="([^"]+)"')
_RUN = re.compile(r"run-[0-9a-z]{10,}")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
# Seconds of steps, digests and times of the clock on the wall: true on one day only.
_FLEETING = re.compile(
    r"(?<=finished)\s+[\d.]+$|(?<= )[\d.]+ s$|\b(?=[0-9a-f]*\d)[0-9a-f]{8,64}\b|20[2-9]\d-\d\d-\d\dT[\d:.]+Z"
)
HOME = "~/.local/share/gemel"
_TOLERANCE = 0.02


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is, what it says, and the exit code of its last command."""

    info: str
    text: str
    exit: int


@dataclass
class Reader:
    """Somebody who follows a document in a folder of their own."""

    folder: Path
    home: Path
    runs: dict[str, str] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)

    def follow(self, document: str) -> int:
        """Return how many commands, files and edits were made."""
        return sum(self._do(block) for block in blocks(document))

    def _do(self, block: Block) -> int:
        kind = block.info.split(" ")[0]
        if kind == "console":
            steps = list(commands(block.text))
            for number, (command, shown) in enumerate(steps, 1):
                self.run(command, shown, block.exit if number == len(steps) else 0)
            return len(steps)
        title = _TITLE.search(block.info)
        if title:
            self._write(title[1], block.text)
        elif kind == "python":
            self._python(block.text)
        elif kind == "diff":
            self._edit(block.text)
        return int(bool(title) or kind in ("python", "diff"))

    def run(self, command: str, shown: list[str], code: int) -> str:
        """Return what a command prints, after comparing it with what the document shows."""
        for written, real in self.runs.items():
            command = command.replace(written, real)
        done = self._subprocess(["bash", "-c", command])
        printed = done.stdout.replace(str(self.home), HOME).replace(str(self.folder), "~")
        assert done.returncode == code, f"$ {command}\nended with {done.returncode}, not {code}:\n{printed}"
        self.printed[command] = printed
        lines = printed.splitlines()
        for line in shown:
            assert any(self._same(line, other) for other in lines), (
                f"$ {command}\ndoes not print\n{line}\nbut\n{printed}"
            )
        return printed

    def _same(self, shown: str, printed: str) -> bool:
        if not matches(shown, printed):
            return False
        self.runs.update(zip(_RUN.findall(shown), _RUN.findall(printed), strict=False))
        return True

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _python(self, text: str) -> None:
        done = self._subprocess([sys.executable, "-c", text])
        assert done.returncode == 0, f"{text}\nfailed:\n{done.stdout}"

    def _edit(self, text: str) -> None:
        first, _, rest = text.partition("\n")
        path = self.folder / first.removeprefix("--- ").strip()
        before = "".join(line[1:] + "\n" for line in rest.splitlines() if line[:1] in (" ", "-"))
        after = "".join(line[1:] + "\n" for line in rest.splitlines() if line[:1] in (" ", "+"))
        old = path.read_text(encoding="utf-8")
        assert old.count(before) == 1, f"{path} has {old.count(before)} times\n{before}"
        path.write_text(old.replace(before, after), encoding="utf-8")

    def _subprocess(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "GEMEL_HOME": str(self.home), "COLUMNS": "100", "PATH": path, "NO_COLOR": "1"}
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )


def blocks(document: str) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown document."""
    for found in _FENCE.finditer(document):
        yield Block(found["info"].strip(), found["text"], int(found["exit"] or 0))


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a console block with the lines shown after it."""
    command, shown = "", list[str]()
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], []
        elif command.endswith("\\") and line.startswith("> "):
            command = command[:-1] + line[2:]
        elif line.strip() not in ("", "…"):
            shown.append(line)
    if command:
        yield command, shown


def matches(shown: str, printed: str) -> bool:
    """Return whether a shown line is the printed one, with numbers near enough and what is fleeting left aside."""
    one, other = (_RUN.sub("RUN", " ".join(_FLEETING.sub(" ~ ", line).split())) for line in (shown, printed))
    pattern = ".*?".join(_pattern(part) for part in one.split("…"))
    found = re.fullmatch(pattern, other)
    if not found:
        return False
    wanted = [float(number) for number in _NUMBER.findall(one.replace("…", " "))]
    return len(wanted) == len(found.groups()) and all(map(_near, wanted, map(float, found.groups())))


def _pattern(text: str) -> str:
    parts = _NUMBER.split(text)
    return rf"({_NUMBER.pattern})".join(re.escape(part) for part in parts)


def _near(shown: float, printed: float) -> bool:
    return (
        abs(shown - printed) <= _TOLERANCE * max(abs(shown), abs(printed), 1e-6) or max(abs(shown), abs(printed)) < 1e-9
    )
