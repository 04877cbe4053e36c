"""The filter of system calls, run by an interpreter of its own: struct seccomp_data in, the kernel's answer out."""

import re
import signal
import struct
from pathlib import Path

import pytest

from harness.judge import seccomp, system_calls

X86_64, AARCH64, I386, ARM = 0xC000003E, 0xC00000B7, 0x40000003, 0x40000028
ME = 4711


def decided(machine: str, architecture: int, number: int, *arguments: int) -> str:
    """What the filter of a machine answers to a system call."""
    data = struct.pack("<iIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    program = list(struct.iter_unpack("<HBBI", seccomp.program(machine, ME)))
    at, value = 0, 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            value = int.from_bytes(data[operand : operand + 4], "little")
        elif code == 0x54:  # BPF_ALU | BPF_AND | BPF_K
            value &= operand
        elif code in (0x15, 0x35):  # BPF_JMP | BPF_JEQ or BPF_JGE | BPF_K
            at += if_true if (value == operand if code == 0x15 else value >= operand) else if_false
        else:
            assert code == 0x06  # BPF_RET | BPF_K
            return ANSWERS[operand]


ANSWERS = {0x7FFF0000: "allow", 0x80000000: "kill", 0x00050001: "EPERM", 0x00050026: "ENOSYS"}
THREAD = 0x3D0F00  # What glibc gives to clone for a thread.
DECISIONS = [
    # x86_64, aarch64, arguments, decision
    (0, 63, (), "allow"),  # read
    (1, 64, (), "allow"),  # write
    (9, 222, (), "allow"),  # mmap
    (202, 98, (), "allow"),  # futex
    (44, 206, (), "allow"),  # sendto
    (45, 207, (), "allow"),  # recvfrom
    (257, 56, (), "allow"),  # openat
    (204, 123, (), "allow"),  # sched_getaffinity
    (59, 221, (), "EPERM"),  # execve
    (101, 117, (), "EPERM"),  # ptrace
    (250, 219, (), "EPERM"),  # keyctl
    (165, 40, (), "EPERM"),  # mount
    (42, 203, (3,), "EPERM"),  # connect
    (435, 435, (), "ENOSYS"),  # clone3
    (467, 467, (), "ENOSYS"),
    (466, 466, (), "allow"),
    (56, 220, (THREAD,), "allow"),  # clone, from here on
    (56, 220, (THREAD | 1 << 32,), "allow"),  # The kernel looks at the lower half only.
    (56, 220, (signal.SIGCHLD,), "EPERM"),
    (56, 220, (0x4100 | signal.SIGCHLD,), "EPERM"),
    (56, 220, (THREAD | 0x00020000,), "EPERM"),  # a thread in a mount namespace of its own
    (56, 220, (THREAD | 0x40000000,), "EPERM"),  # and in a network namespace
    (41, 198, (1, 1), "allow"),  # socket, from here on
    (41, 198, (2, 1), "EPERM"),
    (41, 198, (1 << 32 | 10, 1), "EPERM"),
    (53, 199, (1, 5), "allow"),  # socketpair
    (53, 199, (30, 5), "EPERM"),
    (62, 129, (ME, 9), "allow"),  # kill, from here on
    (62, 129, (ME + 1, 9), "EPERM"),
    (62, 129, (0, 9), "EPERM"),
    (62, 129, (2**64 - 1, 9), "EPERM"),
    (234, 131, (ME, ME + 1, 6), "allow"),  # tgkill
    (234, 131, (1, 1, 6), "EPERM"),
    (302, 261, (0, 7, 0, 2**47), "allow"),  # prlimit64, from here on
    (302, 261, (0, 7, 2**47, 0), "EPERM"),
    (302, 261, (0, 7, 16, 0), "EPERM"),
    (302, 261, (ME, 7, 0, 16), "EPERM"),
    (157, 167, (1, 0), "EPERM"),  # prctl: a worker's end
    (157, 167, (4, 0), "allow"),
    (72, 25, (3, 8, 1), "EPERM"),  # fcntl: an owner
    (72, 25, (3, 10, 9), "EPERM"),
    (72, 25, (3, 15, 2**47), "EPERM"),
    (72, 25, (3, 1033), "allow"),
    (16, 29, (0, 0x5412, 2**47), "EPERM"),  # ioctl: type into a terminal
    (16, 29, (0, 0x5401, 2**47), "allow"),
]


@pytest.mark.parametrize("x86_64, aarch64, arguments, expected", DECISIONS)
def test_the_filter_decides_alike_on_both_machines(x86_64, aarch64, arguments, expected):
    assert decided("x86_64", X86_64, x86_64, *arguments) == expected
    assert decided("aarch64", AARCH64, aarch64, *arguments) == expected


@pytest.mark.parametrize(
    "machine, architecture, number",
    [
        ("x86_64", I386, 1),  # the 32-bit door, whose numbers mean other calls
        ("x86_64", AARCH64, 1),
        ("x86_64", X86_64, 0x40000000 | 59),  # x32: the same calls under other numbers
        ("x86_64", X86_64, -1),
        ("aarch64", ARM, 1),
        ("aarch64", X86_64, 1),
    ],
)
def test_a_call_through_another_door_kills(machine, architecture, number):
    assert decided(machine, architecture, number) == "kill"


@pytest.mark.parametrize("column, header", [(0, "x86_64-linux-gnu/asm/unistd_64.h"), (1, "asm-generic/unistd.h")])
def test_numbers_of_system_calls_are_those_of_the_kernels_headers(column, header):
    path = Path("/usr/include") / header
    if not path.exists():
        pytest.skip(f"no {path} here")
    real = {name: int(n) for name, n in re.findall(r"define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text())}
    conditional = {name: numbers for name, (numbers, _) in (system_calls.ALLOWED_IF | system_calls.DENIED_IF).items()}
    ours = {**system_calls.DENIED, **system_calls.NOT_THERE, **conditional}
    assert {name: numbers[column] for name, numbers in ours.items()} == {name: real.get(name) for name in ours}


@pytest.mark.parametrize("name", system_calls.DENIED)
def test_a_denied_call_is_denied_whatever_its_arguments(name):
    for machine, (column, architecture, _) in system_calls.MACHINES.items():
        number = system_calls.DENIED[name][column]
        assert number is None or decided(machine, architecture, number, 1, 1, 1) == "EPERM"
