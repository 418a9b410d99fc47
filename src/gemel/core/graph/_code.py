"""The digest of the code a process really runs: its function and whatever of the same package that function reaches.

A step is recomputed when its own code changes, and not when an unrelated function in the same file does.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import platform
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from gemel.base.ids import digest_json


@functools.lru_cache(maxsize=4096)
def code_digest(function: Callable[..., Any]) -> str:
    """Return the digest of `function`'s code and of the functions, classes and constants of its package it names."""
    hasher = hashlib.sha256()
    _Walk(hasher, _package(function)).visit("", function)
    return hasher.hexdigest()


@functools.lru_cache(maxsize=4096)
def environment_of(function: Callable[..., Any]) -> dict[str, str]:
    """Return what besides the code decides the result: Python, machine, and versions of the packages it reaches."""
    walk = _Walk(hashlib.sha256(), _package(function))
    walk.visit("", function)
    found = {"python": ".".join(map(str, sys.version_info[:2])), "machine": platform.machine()}
    for name in sorted(walk.foreign):
        version = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(version, str):
            found[name] = version
    return found


@functools.lru_cache(maxsize=4096)
def environment_digest(function: Callable[..., Any]) -> str:
    """Return the digest of `environment_of`."""
    return digest_json(environment_of(function))


class _Walk:
    """Visits what a function reaches, hashing what belongs to its package and noting which others it uses."""

    def __init__(self, hasher: Any, package: str) -> None:
        self._hasher = hasher
        self._package = package
        self._seen: set[int] = set()
        self.foreign: set[str] = set()

    def visit(self, name: str, found: Any) -> None:
        found = getattr(found, "py_func", found)  # numba keeps the Python function there
        # A Process stands for its function; anything else with that attribute is not ours.
        if type(found).__name__ == "Process" and isinstance(getattr(found, "function", None), FunctionType):
            found = found.function
        if id(found) in self._seen:
            return
        if isinstance(found, ModuleType):
            self._module(name, found)
        elif isinstance(found, (FunctionType, type)):
            self._definition(name, found)
        elif isinstance(found, (bool, int, float, str, bytes, tuple, frozenset, type(None))):
            self._add(f"{name}={found!r}")

    def _module(self, name: str, module: ModuleType) -> None:
        self._seen.add(id(module))
        top = module.__name__.split(".")[0]
        if top != self._package:
            self.foreign.add(top)
        elif module.__file__:
            self._add(f"{name}:{_source(module)}")

    def _definition(self, name: str, found: FunctionType | type) -> None:
        self._seen.add(id(found))
        if _package(found) != self._package:
            self.foreign.add(_package(found))
            return
        self._add(name)
        if isinstance(found, type):
            self._add(_source(found))
            return
        self._add(repr((found.__defaults__, found.__kwdefaults__)))
        for code in _codes(found.__code__):
            self._add(code.co_code.hex() + repr([item for item in code.co_consts if not isinstance(item, CodeType)]))
            for used in code.co_names:
                if used in found.__globals__:
                    self.visit(used, found.__globals__[used])
        for cell in found.__closure__ or ():
            self.visit("closure", cell.cell_contents)

    def _add(self, text: str) -> None:
        self._hasher.update(text.encode())
        self._hasher.update(b"\0")


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _package(found: Any) -> str:
    return str(getattr(found, "__module__", None) or "").split(".")[0]


def _source(found: Any) -> str:
    try:
        return inspect.getsource(found)
    except (OSError, TypeError):
        return repr(found)
