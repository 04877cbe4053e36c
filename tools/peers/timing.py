"""What every measuring process does alike, in whichever environment: run one work, time it, write it down.

Standard library and NumPy alone, for it is imported in the environments of the peers too.
"""

import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rounds:
    """How long each round took, and what the last one returned.

    seconds: On the wall's clock.
    cpu_s: Processor time of all processes that did a part; empty where that of some is not known.
    """

    seconds: Sequence[float]
    cpu_s: Sequence[float]
    found: Any = None


@dataclass(frozen=True)
class Done:
    """What one process found.

    per: How many bins, or whatever is counted, a round worked through.
    result: Numbers that show what was done.
    arrays: What came out, to be compared with what the other side says.
    """

    rounds: Rounds
    per: int = 1
    result: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


Works = Mapping[str, Callable[[Path], Done]]


def timed(call: Callable[[], Any], *, rounds: int, warm: int = 1, cpu_s: Callable[[], float] | None = None) -> Rounds:
    """Call again and again; the first `warm` do not count. `cpu_s` tells processor time, `used_s` by default."""
    seconds, used, clock = [], [], cpu_s or used_s
    for _ in range(warm + rounds):
        start, cpu = time.perf_counter(), clock()
        found = call()
        seconds.append(time.perf_counter() - start)
        used.append(clock() - cpu)
    return Rounds(seconds[warm:], used[warm:], found)


def serve(works: Works, packages: Sequence[str]) -> None:
    """Do the work that the command line names: `python -m tools.peers.MODULE WORK INPUTS OUT.json`."""
    name, inputs, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    start_mb = peak_mb()
    done = works[name](inputs)
    said = {
        "seconds": list(done.rounds.seconds),
        "cpu_s": list(done.rounds.cpu_s),
        "per": done.per,
        "result": dict(done.result),
        "start_mb": start_mb,
        "peak_mb": peak_mb(),
        "versions": versions(packages),
    }
    out.write_text(json.dumps(said))
    np.savez(out.with_suffix(".npz"), **done.arrays)


def used_s() -> float:
    """Processor time of this process and of those that it ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak_mb() -> float:
    """The most memory that this process has held, in MB; of workers, their own is not in it.

    From /proc, for `ru_maxrss` of a process begins with what the one that started it held.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Python's version and those of packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
