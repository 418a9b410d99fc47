"""A system call filter under which no new process can be started; threads still can.

A limit on the number of processes would not do: the kernel does not hold the root user to it. The filter is a classic
BPF program (Linux, Documentation/userspace-api/seccomp_filter.rst); call numbers from the kernel's syscall tables.
"""

from __future__ import annotations

import errno
import os
import platform
import struct

from gemel.base.errors import Unconfined

_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF_LD|W|ABS, JMP|JEQ|K, JMP|JSET|K, RET|K
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_CALL, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_THREAD = 0x00010000  # CLONE_THREAD
_X32 = 0x40000000  # calls of the x32 variant carry this bit
# machine: audit architecture, clone, clone3, and the calls that only make processes or look into others
_MACHINES = {
    "x86_64": (0xC000003E, 56, 435, (57, 58, 101)),  # fork, vfork, ptrace
    "aarch64": (0xC00000B7, 220, 435, (117,)),  # ptrace
}


def no_new_processes() -> int:
    """Return a descriptor from which the filter can be read; the caller closes it.

    Raises:
        Unconfined: The call numbers of this kind of machine are not known.
    """
    reader, writer = os.pipe()
    try:
        os.write(writer, _program(platform.machine()))
    finally:
        os.close(writer)
    return reader


def _program(machine: str) -> bytes:
    if machine not in _MACHINES:
        raise Unconfined(f"Foreign code cannot be confined on a machine of kind '{machine}'.")
    architecture, clone, clone3, refused = _MACHINES[machine]
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _CALL),
        (_JUMP_SET, 0, 1, _X32),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
        # The C library falls back to clone, whose flags can be looked at, when clone3 is not there.
        (_JUMP_EQUAL, 0, 1, clone3),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
    ]
    for call in refused:
        code += [(_JUMP_EQUAL, 0, 1, call), (_RETURN, 0, 0, _FAIL | errno.EPERM)]
    code += [
        (_JUMP_EQUAL, 1, 0, clone),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_SET, 1, 0, _THREAD),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
