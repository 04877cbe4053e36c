"""The machine: fingerprint, pinning, and calibration kernels around each timed pass."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

CONTENTION_LIMIT = 1.15
DRIFT_LIMIT = 1.3
ROUNDS = 15


def fingerprint() -> dict[str, str | int]:
    """Processor, number of usable cores, kernel and machine type."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
    }


@contextmanager
def pinned(n_cores: int | None) -> Iterator[None]:
    """Keep this process, and workers that it starts, on some cores; None: leave it free.

    Judge and worker never run at once, so one shared core saves each answer the wake-up of another.
    """
    before = os.sched_getaffinity(0)
    if n_cores is not None:
        os.sched_setaffinity(0, set(sorted(before)[-n_cores:]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def calibrate() -> dict[str, float]:
    """Median times of fixed kernels, in ms, and how much longer than its CPU time all of it took.

    The kernels take turns for some 70 ms, so that a disturbance of a few ms does not decide a median.
    """
    rng = np.random.default_rng(0)
    small, large = rng.standard_normal((96, 512)), rng.standard_normal((1280, 2048))
    kernels: dict[str, Callable[[], object]] = {
        "gemv_small_ms": lambda: small @ small[0],
        "gemv_20mb_ms": lambda: large @ large[0],
        "python_loop_ms": lambda: sum(range(20_000)),
        "python_load_ms": lambda: sum(range(200_000)),
    }
    times: dict[str, list[float]] = {name: [] for name in kernels}
    wall, cpu = time.perf_counter(), time.thread_time()
    for _ in range(ROUNDS):
        for name, kernel in kernels.items():
            start = time.perf_counter()
            kernel()
            times[name].append((time.perf_counter() - start) * 1e3)
    contention = (time.perf_counter() - wall) / (time.thread_time() - cpu)
    return {name: median(found) for name, found in times.items()} | {"wall_over_cpu": contention}


def noisy(before: dict[str, float], after: dict[str, float]) -> bool:
    """Whether something else took the core, or its speed changed, around a timed pass."""
    if max(before["wall_over_cpu"], after["wall_over_cpu"]) > CONTENTION_LIMIT:
        return True
    ratio = after["python_load_ms"] / before["python_load_ms"]
    return max(ratio, 1 / ratio) > DRIFT_LIMIT


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
