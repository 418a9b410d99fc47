"""The digest of the code a process really runs: its function and whatever of the same package that function reaches.

A step is recomputed when its own code changes, and not when an unrelated function in the same file does. What cannot
be seen in code (state kept in lower-case globals, files read on the way) is the business of the process's arguments.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import importlib.metadata
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from gemel.base.ids import digest_json

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
# Told by their text: values whose repr is their content and holds no address.
_TOLD = ("pathlib", "re", "datetime", "decimal", "fractions", "uuid")
_UNTOLD = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__dataclass_fields__"}
    | {"__firstlineno__", "__static_attributes__"}
)


@functools.lru_cache(maxsize=4096)
def code_digest(function: Callable[..., Any]) -> str:
    """Return the digest of `function`'s code and of the functions, classes and constants of its package it names."""
    return _walked(function)[0]


@functools.lru_cache(maxsize=4096)
def environment_of(function: Callable[..., Any]) -> dict[str, str]:
    """Return what besides the code decides the result: Python, machine, and versions of the packages it reaches."""
    found = {"python": ".".join(map(str, sys.version_info[:2])), "machine": platform.machine()}
    for name in _walked(function)[1]:
        version = _version(name)
        if version is not None:
            found[name] = version
    return found


@functools.lru_cache(maxsize=4096)
def environment_digest(function: Callable[..., Any]) -> str:
    """Return the digest of `environment_of`."""
    return digest_json(environment_of(function))


@functools.lru_cache(maxsize=4096)
def _walked(function: Callable[..., Any]) -> tuple[str, tuple[str, ...]]:
    walk = _Walk(_package(function))
    walk.visit("", function, ())
    return walk.hasher.hexdigest(), tuple(sorted(walk.foreign))


class _Walk:
    """Visits what a function reaches, hashing what belongs to its package or to gemel and noting which others it uses."""

    def __init__(self, package: str) -> None:
        self.hasher = hashlib.sha256()
        self.foreign: set[str] = set()
        self._own = {package, "gemel"}
        # Holding the objects keeps their ids from being given to others during the walk.
        self._seen: dict[int, Any] = {}

    def visit(self, name: str, found: Any, names: Iterable[str]) -> None:
        found = self._unwrapped(found)
        if isinstance(found, _PLAIN):
            self._add(f"{name}={found!r}")
        elif id(found) in self._seen:
            self._add(f"{name}=seen")
            # Another function may use other members of the same module.
            if isinstance(found, ModuleType):
                self._members(found, names)
        else:
            self._seen[id(found)] = found
            self._content(name, found, names)

    def _unwrapped(self, found: Any) -> Any:
        if hasattr(found, "py_func"):  # numba keeps the Python function there
            self.foreign.add("numba")
            return found.py_func
        # A Process stands for its function; anything else with that attribute is not ours.
        if type(found).__name__ == "Process" and isinstance(getattr(found, "function", None), FunctionType):
            return found.function
        if isinstance(found, (staticmethod, classmethod, MethodType)):
            return found.__func__
        if not isinstance(found, (FunctionType, type, ModuleType)) and isinstance(
            getattr(found, "__wrapped__", None), FunctionType
        ):
            return found.__wrapped__  # functools.cache and its kin
        return found

    def _content(self, name: str, found: Any, names: Iterable[str]) -> None:
        if isinstance(found, ModuleType):
            self._members(found, names)
        elif isinstance(found, FunctionType):
            self._function(name, found)
        elif isinstance(found, type):
            self._class(name, found)
        elif isinstance(found, functools.partial):
            self._add(f"{name}=partial")
            self._items(name, [found.func, *found.args, *found.keywords.items()])
        elif isinstance(found, property):
            self._items(name, [found.fget, found.fset])
        elif isinstance(found, (tuple, frozenset)) or name.lstrip("_").isupper():
            # By convention capitals are constants, and other mutable globals are state that must not decide a key.
            self._constant(name, found)
        elif dataclasses.is_dataclass(found):
            self._constant(name, found)

    def _members(self, module: ModuleType, names: Iterable[str]) -> None:
        top = module.__name__.split(".")[0]
        if top not in self._own:
            self.foreign.add(top)
            return
        for used in names:
            # The module is marked as seen before its members are visited, so this ends.
            if used in vars(module) and id(vars(module)[used]) not in self._seen:
                self.visit(used, vars(module)[used], names)

    def _function(self, name: str, found: FunctionType) -> None:
        if self._is_foreign(found):
            return
        self._add(name)
        self._items("default", [*(found.__defaults__ or ()), *(found.__kwdefaults__ or {}).items()])
        for code in _codes(found.__code__):
            self._add(f"{code.co_code.hex()}{code.co_exceptiontable.hex()}{code.co_names}")
            self._add(repr([_stable(item) for item in _constants(code, found.__doc__)]))
            for used in code.co_names:
                if used in found.__globals__:
                    self.visit(used, found.__globals__[used], code.co_names)
        for cell in found.__closure__ or ():
            try:
                self.visit("closure", cell.cell_contents, found.__code__.co_names)
            except ValueError:  # a cell not filled yet holds nothing to tell
                continue

    def _class(self, name: str, found: type) -> None:
        if self._is_foreign(found):
            return
        self._add(f"{name}:{found.__qualname__}")
        self._items("base", found.__bases__)
        if issubclass(found, enum.Enum):
            self._add(repr([(item.name, item.value) for item in found]))
            return
        for member, content in vars(found).items():
            if member not in _UNTOLD and not member.startswith("_abc_"):
                self.visit(member, content, ())

    def _is_foreign(self, found: Any) -> bool:
        package = _package(found)
        if package in self._own:
            return False
        self.foreign.add(package)
        return True

    def _constant(self, name: str, found: Any) -> None:
        if isinstance(found, Mapping):
            self._items(name, found.items())
        elif isinstance(found, (list, tuple)):
            self._items(name, found)
        elif isinstance(found, (set, frozenset)):
            self._add(f"{name}={_stable(found)}")
        elif dataclasses.is_dataclass(found):
            self._items(name, [(item.name, getattr(found, item.name, None)) for item in dataclasses.fields(found)])
        elif hasattr(found, "tobytes") and hasattr(found, "dtype"):
            self._add(f"{name}={found.dtype}{found.shape}{hashlib.sha256(found.tobytes()).hexdigest()}")
        elif type(found).__module__.split(".")[0] in _TOLD:
            self._add(f"{name}={found!r}")

    def _items(self, name: str, items: Iterable[Any]) -> None:
        self._add(f"{name}=[")
        for item in items:
            if isinstance(item, (list, dict)):
                self._constant("item", item)
            else:
                self.visit("item" if not name.lstrip("_").isupper() else "ITEM", item, ())
        self._add("]")

    def _add(self, text: str) -> None:
        self.hasher.update(text.encode(errors="surrogatepass"))
        self.hasher.update(b"\0")


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _constants(code: CodeType, doc: str | None) -> Iterator[Any]:
    for position, item in enumerate(code.co_consts):
        if not isinstance(item, CodeType):
            # The docstring is the first constant, and does not decide a result.
            yield None if position == 0 and doc is not None and item == doc else item


def _stable(found: Any) -> str:
    """Return the text of a constant; the order of a set depends on the process and must not show."""
    if isinstance(found, (set, frozenset)):
        return "{" + ",".join(sorted(map(_stable, found))) + "}"
    if isinstance(found, tuple):
        return "(" + ",".join(map(_stable, found)) + ")"
    return repr(found)


def _package(found: Any) -> str:
    return str(getattr(found, "__module__", None) or "").split(".")[0]


def _version(package: str) -> str | None:
    if package in sys.stdlib_module_names or not package.isidentifier():
        return None
    version = getattr(sys.modules.get(package), "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
