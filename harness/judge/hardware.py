"""The machine: what it is and whether it can serve a profile; pinning; calibration and a noise guard around a pass."""

import functools
import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from harness.errors import UsageError
from harness.judge.profiles import Profile

if TYPE_CHECKING:
    from harness.judge.resources import Resources

PROC, SYS, DEV = Path("/proc"), Path("/sys"), Path("/dev")
UNKNOWN = "unknown"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

LARGE = (1280, 2048)
ROUNDS = 15
# Measured on a virtual machine with two cores: calm passes waited up to 0.07, beside a busy loop 0.49 or more.
WAITED_LIMIT = 0.2
STOLEN_LIMIT = 0.05
CONTENTION_LIMIT = 1.25
DRIFT_LIMIT = 1.3


def fingerprint() -> dict[str, str | int | float]:
    """What the machine is, under fixed names; what the system does not tell is `unknown`.

    `cores` are those that this process may use; `governor` rules their clock.
    """
    siblings = _read(SYS / "devices/system/cpu/cpu0/topology/thread_siblings_list")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads_per_core": len(_numbered(siblings)) if siblings else UNKNOWN,
        "last_level_cache_mib": _last_level_cache_mib(),
        "governor": _read(SYS / "devices/system/cpu/cpu0/cpufreq/scaling_governor") or UNKNOWN,
        "memory_gib": round(memory_gib(), 1),
        "virtualisation": _virtualisation(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
    }


def why_not_served(profile: Profile) -> str:
    """What this machine lacks for a profile, in words; empty if it can serve it.

    A GPU's profile asks for address space, which no memory of a machine has to match.
    """
    wanted, cores, memory = profile.n_cores or 1, usable_cores(), memory_gib()
    lacks = []
    if cores < wanted:
        lacks.append(f"{cores:g} of the {wanted} cores can be used")
    if profile.device == "cuda":
        lacks.append("this version streams on CPUs only")
        if not any(re.fullmatch(r"nvidia\d+", path.name) for path in DEV.glob("nvidia*")):
            lacks.append(f"there is no NVIDIA device ({DEV}/nvidia0) here")
    elif memory < profile.memory_gib:
        lacks.append(f"{memory:.1f} of the {profile.memory_gib:g} GiB of memory can be used")
    return "; ".join(lacks)


def usable_cores() -> float:
    """Cores that this process may run on, or the share of them that its control groups allow."""
    shares = [float(len(os.sched_getaffinity(0)))]
    for group in _control_groups("cpu"):
        new, old = _read(group / "cpu.max"), f"{_read(group / 'cpu.cfs_quota_us')} {_read(group / 'cpu.cfs_period_us')}"
        if match := re.fullmatch(r"(\d+) (\d+)", new or old):
            shares.append(int(match[1]) / int(match[2]))
    return min(shares)


def memory_gib() -> float:
    """Memory of the machine, or what the control groups of this process allow if that is less."""
    names = ("memory.max", "memory.limit_in_bytes")
    texts = [_read(group / name) for group in _control_groups("memory") for name in names]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([total, *(int(text) for text in texts if text.isdigit())]) / 2**30


@contextmanager
def pinned(n_cores: int | None, *, among: Set[int] | None = None, worker: "Resources | None" = None) -> Iterator[None]:
    """Keep this thread, and all threads of a worker, on the last cores of some; None: on all of them.

    Judge and worker never run at once, so one shared core saves each answer the wake-up of another.

    Args:
        n_cores: How many.
        among: That may be used; by default those of this thread.
        worker: Moved along, and back.

    Raises:
        UsageError: If fewer cores can be used.
    """
    cores = sorted(os.sched_getaffinity(0) if among is None else among)
    if (n_cores or 0) > len(cores):
        raise UsageError(f"{n_cores} cores are asked for, {len(cores)} can be used; choose another profile")
    before = os.sched_getaffinity(0)
    try:
        _move(worker, set(cores[-(n_cores or 0) :]))
        yield
    finally:
        _move(worker, before)


def _move(worker: "Resources | None", cores: Set[int]) -> None:
    os.sched_setaffinity(0, cores)
    if worker:
        worker.move(cores)


def calibrate(seconds: float = 0.0) -> dict[str, float]:
    """Processor times of fixed kernels in one thread, in ms, and how much longer than that all of it took.

    The kernels take turns for some 70 ms, or for as many seconds as are given. A time is the lower quartile of its
    rounds: other programs can only lengthen a round, by what they leave in the caches. Waiting is no processor time,
    so the kernels tell the speed of the core, and `wall_over_cpu` whether it was shared.
    """
    small, large = _matrices()
    kernels: dict[str, Callable[[], object]] = {
        "gemv_small_ms": lambda: small @ small[0],
        "gemv_20mb_ms": lambda: large @ large[0],
        "python_loop_ms": lambda: sum(range(20_000)),
        "python_load_ms": lambda: sum(range(200_000)),
    }
    times: dict[str, list[float]] = {name: [] for name in kernels}
    # BLAS starts its threads when it is imported, before anything is pinned: they would run on other cores.
    with threadpool_limits(1):
        wall, cpu = time.perf_counter(), time.thread_time()
        while len(times["gemv_small_ms"]) < ROUNDS or time.perf_counter() < wall + seconds:
            for name, kernel in kernels.items():
                start = time.thread_time()
                kernel()
                times[name].append((time.thread_time() - start) * 1e3)
        contention = (time.perf_counter() - wall) / (time.thread_time() - cpu)
    return {name: float(np.quantile(found, 0.25)) for name, found in times.items()} | {"wall_over_cpu": contention}


def bandwidth(calibration: dict[str, float]) -> float:
    """GB/s at which the 20 MB matrix was read: from memory, or from a last-level cache that holds it."""
    return 8 * LARGE[0] * LARGE[1] / 1e6 / calibration["gemv_20mb_ms"]


class Guard:
    """Watches a pass: calibrates before and after it, and asks the kernel how long this thread had to wait meanwhile.

    After the block `why` says what disturbed the pass, `noisy` whether anything did. What it cannot see: a load that
    is the same before, during and after and never waits for this core (a sibling thread, other users of a cache).

    calibration: Kernel times in ms, `before.` and `after.` the pass, and `during.waited_share`: of the time that this
        thread wanted the core, the part that it waited, calibrations included; without it where the kernel is silent.
    """

    def __init__(self) -> None:
        self.calibration: dict[str, float] = {}
        self.why = ""

    @property
    def noisy(self) -> bool:
        return bool(self.why)

    def __enter__(self) -> "Guard":
        _matrices()
        self._waits, self._stolen_s, self._started = _waits_ns(), _stolen_s(), time.perf_counter()
        self._before = calibrate()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        after = calibrate()
        waits = _waits_ns()
        waited = _share(self._waits, waits) if self._waits and waits else None
        # Two ticks of the kernel's clock are left out: in a short pass they alone would be a large share.
        stolen_s = max(_stolen_s() - self._stolen_s - 2 * TICK_S, 0.0)
        stolen = stolen_s / (time.perf_counter() - self._started)
        self.why = why_noisy(self._before, after, waited=waited, stolen=stolen)
        self.calibration = {f"before.{k}": v for k, v in self._before.items()} | {
            f"after.{k}": v for k, v in after.items()
        }
        if waited is not None:
            self.calibration["during.waited_share"] = waited


def why_noisy(before: dict[str, float], after: dict[str, float], *, waited: float | None, stolen: float) -> str:
    """What disturbed a pass; empty if nothing did.

    Args:
        before: Calibration before the pass.
        after: Calibration after it.
        waited: Of the time that the judge wanted its core, the part that it waited; None if the kernel does not tell.
            A hand-over to a worker on the same core counts too, so that a calm pass waits as well.
        stolen: Share of the wall time in which the host ran something else on the core.
    """
    reasons = [_why_drifted(before, after)]
    if waited is None:
        reasons.append(_why_contended(before, after))
    elif waited > WAITED_LIMIT:
        reasons.append(f"the judge waited {waited:.0%} of the time that it wanted its core; {WAITED_LIMIT:.0%} is calm")
    if stolen > STOLEN_LIMIT:
        reasons.append(f"the host took {stolen:.0%} of the core's time; {STOLEN_LIMIT:.0%} is calm")
    return "; ".join(reason for reason in reasons if reason)


def _why_contended(before: dict[str, float], after: dict[str, float]) -> str:
    ratio = (before["wall_over_cpu"] + after["wall_over_cpu"]) / 2
    if ratio <= CONTENTION_LIMIT:
        return ""
    return f"calibration took {ratio:.2f} times its processor time; {CONTENTION_LIMIT:g} is calm"


def _why_drifted(before: dict[str, float], after: dict[str, float]) -> str:
    ratio = after["python_load_ms"] / before["python_load_ms"]
    if max(ratio, 1 / ratio) <= DRIFT_LIMIT:
        return ""
    return f"the core took {ratio:.2f} times as long after the pass as before; {DRIFT_LIMIT:g} is calm"


@functools.cache
def _matrices() -> tuple[np.ndarray, np.ndarray]:
    """(96, 512) and (1280, 2048) float64; kept, for fresh pages take longer than the kernels."""
    return np.ones((96, 512)), np.ones(LARGE)


def _waits_ns() -> tuple[int, int] | None:
    """How long this thread has run, and waited for a core while it could have run; None if the kernel is silent.

    Involuntary switches say less: on a shared core every hand-over between judge and worker can be one.
    """
    with suppress(ValueError):
        ran, waited, _ = _read(PROC / "thread-self/schedstat").split()
        return int(ran), int(waited)
    return None


def _share(start: tuple[int, int], stop: tuple[int, int]) -> float:
    ran, waited = stop[0] - start[0], stop[1] - start[1]
    return waited / max(ran + waited, 1)


def _stolen_s() -> float:
    """Mean over this thread's cores of the seconds that the host of a virtual machine did not give them."""
    lines = dict(line.split(maxsplit=1) for line in _read(PROC / "stat").splitlines() if line.startswith("cpu"))
    ticks = [int(lines[f"cpu{core}"].split()[7]) for core in os.sched_getaffinity(0) if f"cpu{core}" in lines]
    return sum(ticks) / max(len(ticks), 1) * TICK_S


def _control_groups(controller: str) -> list[Path]:
    """Folders of the control groups that this process is in, by both versions of the kernel's scheme.

    A container may name its group by a path that does not exist inside; those above it are asked too.
    """
    found = []
    for line in _read(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            root, group = SYS / "fs/cgroup" / (controller if controllers else ""), Path(path.lstrip("/"))
            found += [root / folder for folder in (group, *group.parents)]
    return found


def _read(path: Path) -> str:
    """A small file of the system; empty if there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _numbered(ranges: str) -> list[int]:
    """`0,4-6` -> [0, 4, 5, 6]."""
    parts = [part.partition("-") for part in ranges.split(",")]
    return [n for first, _, last in parts for n in range(int(first), int(last or first) + 1)]


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _read(PROC / "cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or UNKNOWN


def _last_level_cache_mib() -> float | str:
    texts = [_read(path) for path in (SYS / "devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max((int(text[:-1]) / 1024 for text in texts if re.fullmatch(r"\d+K", text)), default=UNKNOWN)


def _virtualisation() -> str:
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", _read(PROC / "cpuinfo"), re.MULTILINE)
    inside = any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))
    kinds = [name for name, found in (("virtual machine", flags), ("container", inside)) if found]
    return ", ".join(kinds) or "none seen"
