"""The machine: fingerprint, pinning, and calibration kernels around each timed pass."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

CONTENTION_LIMIT = 1.15
DRIFT_LIMIT = 1.3
REPEATS = 7


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
    """Median times of fixed kernels, in ms, and how much longer than its CPU time a fixed load took."""
    rng = np.random.default_rng(0)
    small, large = rng.standard_normal((96, 512)), rng.standard_normal((1280, 2048))
    return {
        "gemv_small_ms": _median_ms(lambda: small @ small[0]),
        "gemv_20mb_ms": _median_ms(lambda: large @ large[0]),
        "python_loop_ms": _median_ms(lambda: sum(range(20_000))),
        "wall_over_cpu": _contention(),
    }


def noisy(before: dict[str, float], after: dict[str, float]) -> bool:
    """Whether something else took the core, or its speed changed, around a timed pass."""
    if max(before["wall_over_cpu"], after["wall_over_cpu"]) > CONTENTION_LIMIT:
        return True
    ratio = after["python_loop_ms"] / before["python_loop_ms"]
    return max(ratio, 1 / ratio) > DRIFT_LIMIT


def _median_ms(kernel: object) -> float:
    assert callable(kernel)
    kernel()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter_ns()
        kernel()
        times.append(time.perf_counter_ns() - start)
    return median(times) / 1e6


def _contention(load_s: float = 0.06) -> float:
    wall, cpu = time.perf_counter(), time.thread_time()
    while time.thread_time() - cpu < load_s:
        sum(range(2000))
    return (time.perf_counter() - wall) / (time.thread_time() - cpu)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
