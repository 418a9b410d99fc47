"""Batch scripts with directives `#GEMEL`: turned into ones that stage by themselves.

    #GEMEL in scope:name path
    #GEMEL out path scope:name [storage=NAME] [licence=SPDX] [into=scope:name] [meta.KEY=VALUE]

Words are quoted as in a shell. `%j`, `%A` and `%a` in them stand for the ids of job, array and task, as in file names of
sbatch; `%%` for a percent sign.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gemel.base.errors import InvalidInput
from gemel.infra.lake.datasets import Name

_SHELLS = re.compile(r"#!\s*(?:/usr/bin/env\s+(?:-S\s+)?)?(?:\S*/)?(?:ba|da|z|k)?sh(?:\s|$)")
_MARK = "#GEMEL"
_IDS = {"j": "SLURM_JOB_ID", "A": "SLURM_ARRAY_JOB_ID", "a": "SLURM_ARRAY_TASK_ID"}
_PERCENT = re.compile(r"%(.?)", re.DOTALL)
_OPTIONS = ("storage", "licence", "into")
# The body is waited for in the background: a shell that waits for one in the foreground hears signals only after it. And
# what a trap finds in $? after a signal is of the command before, so that success is said by `gemel_code` alone.
_AFTER = (
    ") <&0 &",
    "gemel_body=$!",
    "while :; do",
    "  gemel_signal=",
    '  wait "$gemel_body" && gemel_code=0 || gemel_code=$?',
    '  [ -n "$gemel_signal" ] || break',
    "done",
    'exit "$gemel_code"',
)
_SIGNALS = ("HUP", "INT", "TERM", "USR1", "USR2")
_DONE = "# Staged by gemel; write directives into the script that this one was made from."


@dataclass
class _Plan:
    """What the directives of a script say, as words for a shell."""

    ins: list[str] = field(default_factory=list)
    outs: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)


def staged_script(text: str, *, command: Sequence[str] = ("gemel",), home: Path | None = None) -> str:
    """Return a batch script whose first line after the `#SBATCH` block stages in, and whose end registers outputs.

    The body runs in a subshell, so that neither its own traps nor `exec` keep the end from being reached; signals that a
    batch system sends to the script (``--signal=B:…``) are handed on to it. Its exit code is the job's. Of a body that
    failed, or was cancelled, nothing is registered.

    Args:
        text: The script, for a shell of POSIX or bash.
        command: How gemel is called on the node.
        home: The engine's folder, where the node's environment does not say.

    Raises:
        InvalidInput: A directive cannot be understood (with its line), or the script is for something else than a shell.
    """
    lines = text.split("\n")
    if text.startswith(_DONE) or _DONE in lines:
        raise InvalidInput("This script was staged already.", hint="Stage the one that it was made from.")
    if not _SHELLS.match(lines[0]):
        raise _wrong(1, "a batch script begins with the shell that it is for", "#!/bin/bash")
    if any(line.endswith("\r") for line in lines):
        raise _wrong(next(number for number, line in enumerate(lines, 1) if line.endswith("\r")),
                     "lines end as on DOS, which sbatch refuses", "dos2unix FILE")  # fmt: skip
    head = _head(lines)
    plan = _planned(lines, head)
    if not plan.ins and not plan.outs:
        raise InvalidInput("The script has no directive #GEMEL.", hint="#GEMEL in scope:name path")
    parts = [*lines[:head], _DONE, *_before(plan, command, home), "(", *lines[head:]]
    # The end of a subshell on a line of its own: the last line of the body may be a comment.
    return "\n".join([*parts, *_AFTER, ""])


def _head(lines: Sequence[str]) -> int:
    """Return the number of lines before the first command: comments, directives and empty ones."""
    last = 1
    for number, line in enumerate(lines):
        if line.strip() and not line.lstrip().startswith("#"):
            break
        last = number + 1
    while last > 1 and not lines[last - 1].startswith(("#SBATCH", _MARK)):
        last -= 1
    return last


def _planned(lines: Sequence[str], head: int) -> _Plan:
    plan = _Plan()
    for number, line in enumerate(lines, 1):
        if not line.startswith(_MARK):
            continue
        if number > head:
            raise _wrong(number, "a directive comes before the first command, as #SBATCH does", "Move it up.")
        _take(plan, number, _words(number, line))
    names = [words.rpartition("=")[2] for words, _ in plan.outs]
    if len(set(names)) != len(names):
        raise InvalidInput("Two outputs are to have one name.")
    return plan


def _words(number: int, line: str) -> list[str]:
    rest = line[len(_MARK) :]
    if rest and not rest[0].isspace():
        raise _wrong(number, f"'{line.split()[0]}' is no directive", "#GEMEL in …, or #GEMEL out …")
    try:
        return shlex.split(rest)
    except ValueError as error:
        raise _wrong(number, f"its quotes are not right ({error})", "Quote as in a shell.") from error


def _take(plan: _Plan, number: int, words: Sequence[str]) -> None:
    verb = words[0] if words else ""
    if verb == "in" and len(words) == 3:
        plan.ins.append(f"{_filled(number, _named(number, words[1]))}={_filled(number, words[2])}")
    elif verb == "out" and len(words) >= 3:
        options = tuple(item for word in words[3:] for item in _option(number, word))
        plan.outs.append((f"{_filled(number, words[1])}={_filled(number, _named(number, words[2]))}", options))
    elif verb in ("in", "out"):
        form = "in scope:name path" if verb == "in" else "out path scope:name"
        raise _wrong(number, f"it has {len(words) - 1} words after '{verb}'", f"{_MARK} {form}; quote blanks")
    else:
        raise _wrong(number, f"'{verb}' is neither in nor out", f"{_MARK} in scope:name path")


def _named(number: int, text: str) -> str:
    try:
        # The ids of a job are digits; any will do to see whether the rest is a name.
        Name.parse(_PERCENT.sub("0", text))
    except InvalidInput as error:
        raise _wrong(number, error.message.rstrip("."), error.hint or "") from error
    return text


def _option(number: int, word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if equals and value and name in _OPTIONS:
        return f"--{name}", _filled(number, value)
    if equals and name.startswith("meta.") and name != "meta.":
        return "--meta", _filled(number, f"{name.removeprefix('meta.')}={value}")
    hint = f"{', '.join(f'{item}=…' for item in _OPTIONS)}, meta.KEY=…"
    raise _wrong(number, f"'{word[:60]}' is no option of an output", hint)


def _filled(number: int, text: str) -> str:
    """Return a word as a shell reads it: everything literal but the ids of job, array and task."""
    found, last = [], 0
    for match in _PERCENT.finditer(text):
        sign = match[1]
        if sign != "%" and sign not in _IDS:
            raise _wrong(number, f"'%{sign}' stands for nothing", "%j job, %A array, %a task, %% a percent sign")
        found.append(_quoted(text[last : match.start()] + "%" * (sign == "%")))
        found += [] if sign == "%" else [f'"${{{_IDS[sign]}}}"']
        last = match.end()
    return "".join([*found, _quoted(text[last:])]) or "''"


def _quoted(text: str) -> str:
    return shlex.quote(text) if text else ""


def _before(plan: _Plan, command: Sequence[str], home: Path | None) -> list[str]:
    """Return the lines between the block of directives and the body."""
    call = f"{shlex.join(command)} data stage"
    ins = " ".join(plan.ins)
    found = [] if home is None else [f'export GEMEL_HOME="${{GEMEL_HOME:-{_inner(str(home))}}}"']
    found += [
        'gemel_record="$(mktemp "${TMPDIR:-/tmp}/gemel-job.XXXXXX")" || exit 1',
        f'{call} in --record "$gemel_record"{" " * bool(ins)}{ins} || {{ gemel_last=$?; rm -f "$gemel_record"; '
        "exit $gemel_last; }",
        "gemel_end() {",
        "  gemel_last=$?",
        "  trap - EXIT",
        '  if [ "$gemel_last" -eq 0 ] && [ "$gemel_code" != 0 ]; then gemel_last=1; fi',
        '  if [ "$gemel_code" = 0 ]; then',
    ]
    ended = '--record "$gemel_record" --command "${SLURM_JOB_NAME:-$0}"'
    outs: dict[tuple[str, ...], list[str]] = {}
    for pair, options in plan.outs:
        outs.setdefault(options, []).append(pair)
    # Outputs that are told alike go together: a missing one keeps all of them from being registered.
    called = [" ".join([call, "out", ended, *options, *pairs]) for options, pairs in outs.items()]
    found += [f"    {line} || gemel_last=$?" for line in called] or ["    :"]
    found += ["  fi", '  rm -f "$gemel_record"', '  exit "$gemel_last"', "}", "gemel_code=", "gemel_body="]
    found += [_handing_on(name) for name in _SIGNALS]
    return [*found, "trap gemel_end EXIT"]


def _handing_on(signal: str) -> str:
    return f"trap 'gemel_signal=1; kill -{signal} \"$gemel_body\" 2>/dev/null || :' {signal}"


def _inner(text: str) -> str:
    """Return a text for between double quotes."""
    return re.sub(r'([\\"$`}])', r"\\\1", text)


def _wrong(line: int, reason: str, hint: str) -> InvalidInput:
    return InvalidInput(f"Line {line}: {reason}.", hint=hint or None, line=line)
