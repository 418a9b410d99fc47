"""Pickles of arrays and plain values, rebuilt by ourselves: nothing that a pickle names is ever called."""

from __future__ import annotations

import math
import pickle
import pickletools
import re
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.base.sizes import spoken_size
from gemel.infra.lake.formats._format import Format, Options
from gemel.infra.lake.formats._unnamed import AxisNames

_NAME = "Pickle"
_BYTES = 256 << 20  # of a pickle: its values are held in memory
_DEPTH = 64  # of containers in each other
_STEPS = 20_000_000  # instructions of the little machine that a pickle is a program for
_PLAIN_TYPE = re.compile(r"[biufcmM?][0-9]{0,2}|[SUV][0-9]{1,9}|O8?")
_NESTED = 4 * _DEPTH  # the same as the machine sees it: an array is a few notes in each other
_FILLING = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")


def unpickled(content: bytes, buffers: Sequence[Any] = ()) -> Any:
    """Return what a pickle holds: arrays, types and scalars of numpy in lists, tuples, sets, dictionaries, and plain values.

    The pickle's instructions only stack up notes on what is to be built (so no class or function that it names is
    called); afterwards arrays are made from their bytes, with type, shape and length checked.

    Args:
        content: Any protocol from 0 to 5.
        buffers: Bytes that stand outside of it (protocol 5, PEP 574), in their order.

    Raises:
        InvalidInput: It names any other class or function, which is told; it is cut off, nested deeper than 64
            containers, or larger than 256 MiB.

    >>> unpickled(pickle.dumps({"rain": np.arange(3)}))
    {'rain': array([0, 1, 2])}
    """
    if len(content) > _BYTES:
        raise _refused(f"it is {spoken_size(len(content))} long, and {spoken_size(_BYTES)} is the limit")
    try:
        _require_sane(content)
        return _Builder().built(_Notes(BytesIO(content), buffers=list(buffers)).load())
    except InvalidInput:
        raise
    except (MemoryError, RecursionError) as error:
        raise _refused("it declares more than fits into memory") from error
    except Exception as error:
        # The machine of pickle raises whatever its instructions lead to.
        raise _refused(str(error)[:200].rstrip(".") or type(error).__name__) from error


def _refused(reason: str) -> InvalidInput:
    hint = "Save it as NPY, NPZ or netCDF: those hold data alone."
    return InvalidInput(f"This pickle is not opened: {reason}.", hint=hint, exception="FormatUnsuitable")


def _require_sane(content: bytes) -> None:
    """Raise where an instruction alone would take memory beyond what the pickle itself has, or nests too deeply."""
    stack: list[int | None] = []
    memory: dict[int, int] = {}
    for number, (instruction, argument, _) in enumerate(pickletools.genops(content)):
        if number > _STEPS:
            raise _refused(f"it has more than {_STEPS} instructions")
        if instruction.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= len(content):
            raise _refused("its memory is larger than itself")
        if instruction.name in ("PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4"):
            raise _refused(f"it refers to something outside of itself ({instruction.name})")
        _follow(instruction, argument, stack, memory)
        if stack and (stack[-1] or 0) > _NESTED:
            raise _refused(f"containers in it are nested deeper than {_DEPTH}")


def _follow(instruction: Any, argument: Any, stack: list[int | None], memory: dict[int, int]) -> None:
    """Do to a stack of depths what an instruction does to the stack of values; None stands for a mark."""
    name = instruction.name
    if name == "MEMOIZE" or name.endswith("PUT"):
        memory[len(memory) if argument is None else argument] = stack[-1] or 0
    elif name.endswith("GET"):
        stack.append(memory.get(argument, 0))
    elif name == "MARK":
        stack.append(None)
    elif name == "DUP":
        stack.append(stack[-1])
    else:
        taken = _taken(instruction.stack_before, stack)
        # What is filled is the lowest of what is taken, and becomes no deeper than what it had and what it gets.
        had, gets = (taken[-1], taken[:-1]) if name in _FILLING else (0, taken)
        stack.extend([max(had, 1 + max(gets) if gets else 0)] * len(instruction.stack_after))


def _taken(wanted: Sequence[Any], stack: list[int | None]) -> list[int]:
    """Return the depths that an instruction takes from the stack, the uppermost first."""
    taken: list[int] = []
    count = len(wanted)
    if pickletools.markobject in wanted:
        while (found := stack.pop()) is not None:
            taken.append(found)
        count = list(wanted).index(pickletools.markobject)
    return [*taken, *((stack.pop() or 0) for _ in range(count))]


class _Draft:
    """Something that is to be made of arguments, and of a state that comes later."""

    __slots__ = ("arguments", "kind", "state")

    def __init__(self, kind: str, arguments: tuple[Any, ...]) -> None:
        self.kind, self.arguments = kind, arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        if self.state is not None or state is None:
            raise _refused("it sets a state twice")
        self.state = state

    def __hash__(self) -> int:
        # In a set or as a key, a draft would be taken before it is made.
        raise _refused("it has arrays as keys")


class _Named:
    """What stands for a class or function of numpy: called, it notes its arguments."""

    __slots__ = ("kind",)
    kind: str

    def __init__(self, kind: str) -> None:
        object.__setattr__(self, "kind", kind)

    def __call__(self, *arguments: Any) -> _Draft:
        return _Draft(self.kind, arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise _refused("it changes a class")

    def __setstate__(self, state: Any) -> None:
        raise _refused("it changes a class")


def _stand_ins() -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {("numpy", "ndarray"): _Named("class"), ("numpy", "dtype"): _Named("dtype")}
    for module in ("numpy.core", "numpy._core"):  # before and since numpy 2.0
        found[f"{module}.multiarray", "_reconstruct"] = _Named("array")
        found[f"{module}.multiarray", "scalar"] = _Named("scalar")
        found[f"{module}.numeric", "_frombuffer"] = _Named("buffer")
    for module in ("builtins", "__builtin__"):
        for name in ("set", "frozenset", "complex", "bytes", "bytearray"):
            found[module, name] = _Named(name)
    found["collections", "OrderedDict"] = dict  # which takes its items from later instructions, and calls nothing
    found["_codecs", "encode"] = _Named("encoded")  # how protocols below 3 write bytes
    return found


_KNOWN = _stand_ins()


class _Notes(pickle.Unpickler):
    """The machine, with stand-ins for all that it may name."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a class or function on the list.

        Raises:
            InvalidInput: It is not on the list.
        """
        found = _KNOWN.get((module, name))
        if found is None:
            raise _refused(f"it names {module}.{name}, which is no array and no plain value")
        return found


class _Builder:
    """Makes values of drafts, each once, however often they are referred to."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._kept: list[Any] = []  # ids stay unique while their objects live
        self._kinds: dict[str, Callable[[_Draft, int], Any]] = {
            "array": self._array, "dtype": self._dtype, "scalar": self._scalar, "buffer": self._buffer,
            "encoded": self._encoded, "bytes": self._bytes, "bytearray": self._bytes,
            "set": self._set, "frozenset": self._set, "complex": self._complex,
        }  # fmt: skip

    def built(self, value: Any, depth: int = 0) -> Any:
        """Return a value with all drafts in it made."""
        if depth > _DEPTH:
            raise _refused(f"containers in it are nested deeper than {_DEPTH}")
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes, bytearray)):
            return value
        if id(value) not in self._made:
            self._kept.append(value)
            self._made[id(value)] = self._fresh(value, depth)
        return self._made[id(value)]

    def _fresh(self, value: Any, depth: int) -> Any:
        if isinstance(value, _Draft):
            make = self._kinds.get(value.kind)
            if make is None:
                raise _refused("it makes an array in a way that is not known")
            return make(value, depth)
        if type(value) in (list, tuple, set, frozenset):
            return type(value)(self.built(item, depth + 1) for item in value)
        if type(value) is dict:
            return {self.built(key, depth + 1): self.built(item, depth + 1) for key, item in value.items()}
        raise _refused(f"a {type(value).__name__} in it is no array and no plain value")

    def _encoded(self, draft: _Draft, depth: int) -> bytes:
        text, encoding = draft.arguments
        if not isinstance(text, str) or encoding != "latin1":
            raise _refused("it writes bytes in a way that is not known")
        return text.encode("latin1")

    def _bytes(self, draft: _Draft, depth: int) -> bytes | bytearray:
        content = self.built(draft.arguments[0], depth + 1) if draft.arguments else b""
        if isinstance(content, str) and draft.arguments[1:] == ("latin-1",):
            content = content.encode("latin1")
        if not isinstance(content, (bytes, bytearray)):
            raise _refused("it writes bytes in a way that is not known")
        return bytes(content) if draft.kind == "bytes" else bytearray(content)

    def _set(self, draft: _Draft, depth: int) -> Any:
        items = self.built(draft.arguments[0], depth + 1) if draft.arguments else []
        return set(items) if draft.kind == "set" else frozenset(items)

    def _complex(self, draft: _Draft, depth: int) -> complex:
        real, imaginary = draft.arguments
        return complex(float(real), float(imaginary))

    def _array(self, draft: _Draft, depth: int) -> np.ndarray[Any, Any]:
        # The state's version stands in front, as it has since numpy 1.0.
        state: Any = draft.state or ()
        _, shape, dtype, fortran, data = state
        found, order = self.built(dtype, depth + 1), "F" if fortran else "C"
        if isinstance(found, np.dtype) and found == np.dtype(object):
            cells = np.empty(_count(shape, 8), dtype=object)
            if not isinstance(data, list) or len(data) != len(cells):
                raise _refused("an array in it has not as many cells as it says")
            for position, item in enumerate(data):
                cells[position] = self.built(item, depth + 1)
            return cells.reshape(shape, order=order)  # type: ignore[call-overload,no-any-return]
        content = self.built(data, depth + 1)
        if isinstance(content, str):
            content = content.encode("latin1")
        return _of_bytes(content, found, shape, order)

    def _buffer(self, draft: _Draft, depth: int) -> np.ndarray[Any, Any]:
        content, dtype, shape, order = draft.arguments
        if isinstance(content, pickle.PickleBuffer):
            content = content.raw()
        return _of_bytes(memoryview(content).cast("B"), self.built(dtype, depth + 1), shape, order)

    def _scalar(self, draft: _Draft, depth: int) -> Any:
        dtype, content = (self.built(item, depth + 1) for item in draft.arguments)
        return _of_bytes(content.encode("latin1") if isinstance(content, str) else content, dtype, (), "C")[()]

    def _dtype(self, draft: _Draft, depth: int) -> np.dtype[Any]:
        code = draft.arguments[0]
        if not isinstance(code, str) or not _PLAIN_TYPE.fullmatch(code):
            raise _refused(f"{str(code)[:40]!r} in it is no type of cells")
        if draft.state is None:
            return np.dtype(code)
        order, parts, names, fields, size = (*draft.state, *[None] * 6)[1:6]
        if parts is not None:
            base, shape = parts
            return np.dtype((self.built(base, depth + 1), tuple(shape)))
        if names is not None:
            members = [(self.built(fields[name][0], depth + 1), int(fields[name][1])) for name in names]
            layout: Any = {"names": list(names), "formats": [item for item, _ in members], "itemsize": int(size)}
            found: np.dtype[Any] = np.dtype(layout | {"offsets": [at for _, at in members]})
            return found
        if code[0] in "mM" and len(draft.state) > 8:
            unit, count = draft.state[8][1][:2]
            code = f"{code}[{int(count)}{bytes(self.built(unit)).decode('ascii')}]"
        return np.dtype(code).newbyteorder(order if order in ("<", ">") else "=")


def _count(shape: Any, itemsize: int) -> int:
    if not isinstance(shape, tuple) or not all(type(item) is int and item >= 0 for item in shape):
        raise _refused("an array in it has an impossible shape")
    if math.prod(shape) * itemsize > _BYTES:
        raise _refused(f"an array in it declares {math.prod(shape)} cells")
    return math.prod(shape)


def _of_bytes(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    if not isinstance(dtype, np.dtype) or dtype.hasobject or not dtype.itemsize:
        raise _refused(f"an array in it has cells of type {dtype}")
    if not isinstance(content, (bytes, bytearray, memoryview)) or order not in ("C", "F"):
        raise _refused("an array in it has no bytes")
    if _count(shape, dtype.itemsize) * dtype.itemsize != len(content):
        raise _refused("an array in it has not as many cells as it says")
    return np.frombuffer(content, dtype).reshape(shape, order=order)


def _read(path: Path, options: Options) -> Any:
    if path.stat().st_size > _BYTES:
        raise _refused(
            f"'{path.name}' is {spoken_size(path.stat().st_size)} long, and {spoken_size(_BYTES)} is the limit"
        )
    found = unpickled(path.read_bytes())
    if isinstance(found, np.ndarray) and found.dtype.names is None:
        return xr.DataArray(found, dims=AxisNames().of(found.shape))
    return found


PICKLE = Format(
    name=_NAME,
    title="Python pickle of arrays",
    description=(
        "Arrays of numpy, numbers, texts and containers of them, read only. A pickle that names anything else is "
        "refused, and none of it is run."
    ),
    media_type="application/x-python-pickle",
    suffix=".pkl",
    kinds=("other",),
    aliases=("pkl",),
    reader=_read,
    value=False,
)
