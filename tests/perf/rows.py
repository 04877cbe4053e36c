"""What a measurement says, as a row for the table of `make bench` (tools/bench_table.py)."""

import time
from collections.abc import Callable
from typing import Any, Literal


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor time of one call in this process: on a shared machine, steadier than wall time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def keep(
    benchmark: Any, what: str, measured: float, *, limit: float, unit: str, aim: Literal["most", "least"] = "most"
) -> None:
    """Note a figure beside its target, in what pytest-benchmark writes as JSON, and print it.

    Args:
        benchmark: The fixture.
        what: What was measured, in words.
        measured: The figure.
        limit: The target (design, section 9).
        unit: Of both: "ms", "s", "us", "MB", or "times" for a ratio.
        aim: Whether the limit is the most or the least that the figure may be.
    """
    target = f"{'<=' if aim == 'most' else '>='} {limit:g} {unit}"
    row = {"what": what, "target": target, "measured": float(measured), "limit": float(limit), "unit": unit}
    benchmark.extra_info.setdefault("rows", []).append(row)
    print(f"\n{what}: {measured:.4g} {unit}, target {target}")
