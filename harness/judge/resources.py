"""What a process takes, read from the kernel by the judge: nothing that the process says of itself."""

import contextlib
import os
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from harness.judge.replies import WorkerFault

PROC = Path("/proc")
MOST_LOOKS = 100
"""At a process's threads, until a look finds no new one."""
CLOCK_OF_PROCESS = 2
"""Low bits of the kernel's number for a process's clock: clock_getcpuclockid(3), which Python does not have."""


@dataclass(frozen=True)
class Memory:
    """Memory of a process.

    used_bytes: What it has touched of its own, shared memory included, files and libraries not.
    reserved_bytes: Its address space: a buffer that is filled slowly is in there from the beginning.
    """

    used_bytes: int
    reserved_bytes: int


@dataclass(frozen=True)
class Resources:
    """One process, by its number."""

    pid: int

    def memory(self) -> Memory | None:
        """Its memory now; None where the kernel does not tell."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            lines = (line.split(":") for line in (PROC / str(self.pid) / "status").read_text().splitlines())
            kib = {name: int(value.split()[0]) for name, value in lines if name in ("RssAnon", "RssShmem", "VmSize")}
            return Memory((kib["RssAnon"] + kib["RssShmem"]) * 1024, kib["VmSize"] * 1024)
        return None

    def processor_ns(self) -> int | None:
        """Processor time of all its threads so far, ended ones too; None where the kernel does not tell."""
        with contextlib.suppress(OSError):
            return time.clock_gettime_ns(~self.pid << 3 | CLOCK_OF_PROCESS)
        return None

    def move(self, cores: Set[int]) -> None:
        """Move all its threads onto these cores; those that they start later are there too.

        Raises:
            WorkerFault: If threads that are not there yet go on starting others.
        """
        moved: set[int] = set()
        for _ in range(MOST_LOOKS):
            new = self._threads() - moved
            if not new:
                return
            for thread in new:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(thread, cores)
            moved |= new
        raise WorkerFault("failed", "its threads start others without end, so that they cannot be kept on a core")

    def _threads(self) -> set[int]:
        """Numbers of its threads; none of a process that has ended."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return {int(thread.name) for thread in (PROC / str(self.pid) / "task").iterdir()}
        return set()


def innermost(pid: int) -> int:
    """The process that a chain of starters (bubblewrap, setpriv) ends in."""
    children = {parent: child for child, parent in _parents().items()}
    while pid in children:
        pid = children[pid]
    return pid


def _parents() -> dict[int, int]:
    """Process number -> its parent's, of all processes."""
    found = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name in brackets may hold anything, brackets and spaces too.
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    return found
