"""A decoder that tries to get out of its worker, and reports how each attempt ended; all within one `step`.

The session's outputs are names of functions below. An attempt's outcome is the error number with which it was
refused, 0 if it was allowed; a sighting's outcome is a count of what was seen.
"""

import contextlib
import ctypes
import mmap
import os
import platform
import resource
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import Decoder

LIBC = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == "aarch64"
NOWHERE = ctypes.c_void_p(-1)


def call(x86_64, aarch64, *arguments):
    """Make a system call by its number; raise what it was refused with."""
    if LIBC.syscall(ctypes.c_long(aarch64 if ARM else x86_64), *arguments) == -1:
        raise OSError(ctypes.get_errno(), "refused")


def end_if_child(process):
    if process == 0:
        os._exit(0)


def judge():
    """The process that started this one; 1 where that cannot be seen."""
    return os.getppid() or 1


def forks():
    end_if_child(os.fork())


def spawns():
    os.posix_spawn("/bin/true", ["true"], {})


def runs_a_command():
    os.spawnv(os.P_WAIT, "/bin/true", ["true"])


def becomes_another_program():
    os.execv(sys.executable, [sys.executable, "-c", "pass"])


def becomes_another_program_by_descriptor():
    with Path(sys.executable).open("rb") as program:
        os.execve(program.fileno(), [sys.executable, "-c", "pass"], {})


def clones_by_number():
    end_if_child(LIBC.syscall(220 if ARM else 56, ctypes.c_ulong(signal.SIGCHLD), None, None, None, None))
    raise OSError(ctypes.get_errno(), "refused")


def clones_with_arguments_in_memory():
    call(435, 435, NOWHERE, ctypes.c_size_t(88))


def starts_a_thread():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def forks_in_a_thread():
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(outcome_of(forks)))
    thread.start()
    thread.join()
    raise OSError(int(outcomes[0]), "refused")


def opens_an_internet_socket():
    socket.socket(socket.AF_INET)


def opens_a_packet_socket():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)


def asks_the_kernel_over_netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)


def connects_to_a_server_of_this_machine():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0nobody-listens-here")


def makes_a_pair_of_sockets():
    for end in socket.socketpair():
        end.close()


def signals_the_judge():
    os.kill(judge(), 0)


def signals_everybody():
    os.kill(-1, 0)


def signals_its_group():
    os.killpg(0, 0)


def signals_a_thread_of_the_judge():
    call(234, 131, judge(), judge(), 0)


def signals_the_judge_by_descriptor():
    os.pidfd_open(judge())


def has_the_kernel_signal_the_judge():
    import fcntl

    with socket.socketpair()[0] as end:
        fcntl.fcntl(end, fcntl.F_SETOWN, judge())


def signals_itself():
    os.kill(os.getpid(), 0)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.raise_signal(signal.SIGUSR1)


def traces_the_judge():
    call(101, 117, 0x4206, judge(), None, None)  # PTRACE_SEIZE, which would not stop it.


def reads_the_memory_of_the_judge():
    call(310, 270, judge(), None, 0, None, 0, 0)


def compares_itself_with_the_judge():
    call(312, 272, os.getpid(), judge(), 0, 0, 0)


def outlives_the_judge():
    if LIBC.prctl(1, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "refused")


def changes_a_limit_of_the_judge():
    resource.prlimit(judge(), resource.RLIMIT_CORE)


def changes_its_own_limit():
    call(302, 261, 0, resource.RLIMIT_CORE, (ctypes.c_ulong * 2)(0, 0), None)


def reads_its_own_limit():
    resource.getrlimit(resource.RLIMIT_AS)


def changes_its_core():
    os.sched_setaffinity(0, os.sched_getaffinity(0))


def changes_its_priority():
    os.nice(0)


def becomes_a_real_time_process():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def keeps_a_key():
    call(248, 217, b"user", b"left-behind", b"x", 1, -3)


def looks_up_keys():
    call(250, 219, 0, -3, 0)


def opens_an_io_ring():
    call(425, 425, 1, NOWHERE)


def loads_a_program_into_the_kernel():
    call(321, 280, 0, NOWHERE, 0)


def counts_events():
    call(298, 241, NOWHERE, 0, -1, -1, 0)


def handles_page_faults():
    call(323, 282, -1)


def makes_a_namespace():
    call(272, 97, 0x10000000)


def enters_a_namespace():
    call(308, 268, -1, 0)


def mounts():
    call(165, 40, NOWHERE, NOWHERE, NOWHERE, 0, NOWHERE)


def changes_its_root():
    os.chroot("/tmp")


def opens_a_file_by_handle():
    call(304, 265, -1, NOWHERE, 0)


def sets_the_clock():
    call(227, 112, -1, NOWHERE)


def keeps_memory_in_a_nameless_file():
    os.close(os.memfd_create("hidden"))


def keeps_memory_between_processes():
    call(29, 194, -1, 0, 0)


def changes_the_system():
    Path("/usr/left-behind").touch()


def writes_to_the_root_folder():
    Path("/left-behind").touch()


def writes_between_devices():
    Path("/dev/left-behind").touch()


def fills(folder):
    with (Path(folder) / "large").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 512 << 20)


def fills_shared_memory():
    fills("/dev/shm")


def fills_the_temporary_folder():
    fills("/tmp")


def has_memory_and_a_lock():
    import multiprocessing

    multiprocessing.Lock()
    mmap.mmap(-1, 1 << 20).close()


def sees_descriptors():
    """Open ones: input, output, errors and the judge's socket make 4."""
    return sum(1 for number in range(256) if Path(f"/proc/self/fd/{number}").exists())


AT_IMPORT = sees_descriptors()


def saw_descriptors_at_import():
    return AT_IMPORT


def sees_processes():
    """Other than itself and process 1."""
    numbers = {int(path.name) for path in Path("/proc").glob("[0-9]*")}
    return len(numbers - {1, os.getpid()})


def sees_variables():
    """Of the environment, beyond those that a worker is given."""
    given = {"HOME", "PATH", "PWD", "LC_ALL", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "CUDA_VISIBLE_DEVICES"}
    return len([name for name in os.environ if name not in given and not name.endswith("_NUM_THREADS")])


def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith(f"{field}:"))


def is_privileged():
    capabilities = sum(int(status(kind), 16) for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"))
    return int(os.getuid() == 0 or capabilities > 0)


def may_gain_privileges():
    return int(status("NoNewPrivs") != "1")


def is_filtered():
    return int(status("Seccomp"))


def outcome_of(attempt):
    try:
        return attempt() or 0
    except OSError as error:
        return error.errno


@dataclass
class Escapes(Decoder):
    """Runs the attempts that the session's outputs name."""

    inputs = ("spikes",)
    deterministic = True

    def fit(self, train, validation):
        self.nothing_ = np.zeros(1, np.float32)

    def reset(self, session):
        self.attempts = [globals()[name] for name in session.outputs]

    def step(self, bin):
        return np.array([outcome_of(attempt) for attempt in self.attempts], np.float32)


@dataclass
class Hangs(Escapes):
    """Never answers, and holds neither its output nor its errors open."""

    def step(self, bin):
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        time.sleep(1000)
