"""A filter of system calls that a worker lays over itself, before foreign code runs and for good.

A worker computes, maps memory, reads files and talks over the socket that it was born with. Calls that serve none of
this are refused: those that start a process or a program, reach another process, a network or a machine's settings,
or keep memory where the limit on address space does not count it. Threads stay possible. `system_calls.py` is the list.

The filter is a small program that the kernel runs before each call; instructions and constants: seccomp(2), bpf(4).
"""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterator, Sequence

from harness.judge.system_calls import (
    ALLOWED_IF,
    DENIED,
    DENIED_IF,
    FIRST_UNKNOWN,
    MACHINES,
    NOT_THERE,
    OWN_PROCESS,
    Condition,
)

# One instruction of the filter: code, where to jump if true and if false, operand.
LOAD, AND, RETURN, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST = 0x20, 0x54, 0x06, 0x15, 0x35
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
DENY = ERROR | errno.EPERM
MISSING = ERROR | errno.ENOSYS
# Where the kernel puts a call's number, architecture and arguments, in bytes.
AT_NUMBER, AT_ARCHITECTURE, AT_ARGUMENTS = 0, 4, 16
X32 = 0x40000000

PR_SET_NO_NEW_PRIVS = 38
SET_MODE_FILTER = 1
# For all threads, also those that a library has started; and at no cost in speculation, which would slow numbers down.
TSYNC, SPEC_ALLOW = 1, 4


class _Program(ctypes.Structure):
    _fields_ = [("n_instructions", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def why_unavailable() -> str:
    """What keeps the filter from working on this machine, for the user; empty if nothing does."""
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in MACHINES or sys.maxsize < 2**32:
        return (
            f"the filter of system calls knows 64-bit Linux on {' and '.join(MACHINES)}, not {sys.platform} {machine}"
        )
    # A kernel that knows the call and its flags goes on to read the program, and finds none.
    code = _seccomp(None)
    return "" if code == errno.EFAULT else f"this kernel takes no filter of system calls: {os.strerror(code)}"


def install() -> None:
    """Lay the filter over this process and all its threads; nothing can lift it.

    Raises:
        OSError: If the kernel refuses.
    """
    instructions = program(os.uname().machine, os.getpid())
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges = [ctypes.c_ulong(value) for value in (1, 0, 0, 0)]
    failed = libc.prctl(PR_SET_NO_NEW_PRIVS, *no_new_privileges) and ctypes.get_errno()
    if code := failed or _seccomp(_Program(len(instructions) // 8, instructions)):
        raise OSError(code, f"the filter of system calls was refused: {os.strerror(code)}")


def _seccomp(filter_program: _Program | None) -> int:
    """Ask the kernel to install a program; 0, or its error number."""
    libc = ctypes.CDLL(None, use_errno=True)
    pointer = ctypes.byref(filter_program) if filter_program else None
    number = MACHINES[os.uname().machine].seccomp
    flags = ctypes.c_ulong(TSYNC | SPEC_ALLOW)
    if libc.syscall(ctypes.c_long(number), ctypes.c_ulong(SET_MODE_FILTER), flags, pointer) == 0:
        return 0
    return ctypes.get_errno() or errno.EAGAIN


def program(machine: str, own_process: int) -> bytes:
    """The filter: 8 bytes for each instruction.

    Args:
        machine: A name of `MACHINES`.
        own_process: The number of the process that is to be filtered, as it sees itself.
    """
    column, audit_arch, _ = MACHINES[machine]
    code = [_load(AT_ARCHITECTURE), _instruction(JUMP_IF_EQUAL, audit_arch, 1, 0), _return(KILL), _load(AT_NUMBER)]
    code += [_instruction(JUMP_IF_AT_LEAST, X32, 0, 1), _return(KILL)]
    code += [_instruction(JUMP_IF_AT_LEAST, FIRST_UNKNOWN, 0, 1), _return(MISSING)]
    code += _rules(column, own_process)
    return b"".join([*code, _return(ALLOW)])


def _rules(column: int, own_process: int) -> Iterator[bytes]:
    for table, answer in ((DENIED, DENY), (NOT_THERE, MISSING)):
        for numbers in table.values():
            yield from _for_call(numbers[column], [_return(answer)])
    for numbers, conditions in ALLOWED_IF.values():
        body = _unless([_resolved(c, own_process) for c in conditions])
        yield from _for_call(numbers[column], body)
    for numbers, conditions in DENIED_IF.values():
        yield from _for_call(numbers[column], _if_any(conditions))


def _for_call(number: int | None, body: Sequence[bytes]) -> list[bytes]:
    """Run a body, which ends in an answer, for one system call."""
    return [] if number is None else [_instruction(JUMP_IF_EQUAL, number, 0, len(body)), *body]


def _unless(conditions: Sequence[Condition]) -> list[bytes]:
    """Deny unless all conditions hold."""
    code: list[bytes] = []
    for condition in conditions:
        code += [*_fetch(condition), _instruction(JUMP_IF_EQUAL, condition.value, 1, 0), _return(DENY)]
    return [*code, _return(ALLOW)]


def _if_any(conditions: Sequence[Condition]) -> list[bytes]:
    """Deny if one condition holds."""
    code: list[bytes] = []
    for condition in conditions:
        code += [*_fetch(condition), _instruction(JUMP_IF_EQUAL, condition.value, 0, 1), _return(DENY)]
    return [*code, _return(ALLOW)]


def _fetch(condition: Condition) -> list[bytes]:
    where = AT_ARGUMENTS + 8 * condition.argument + 4 * condition.upper_half
    return [_load(where), _instruction(AND, condition.mask)]


def _resolved(condition: Condition, own_process: int) -> Condition:
    return condition._replace(value=own_process) if condition.value == OWN_PROCESS else condition


def _load(where: int) -> bytes:
    return _instruction(LOAD, where)


def _return(answer: int) -> bytes:
    return _instruction(RETURN, answer)


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)
