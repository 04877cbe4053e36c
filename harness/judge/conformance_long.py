"""The rules about very long segments, as in `conformance_rules`; all look at the same run."""

import numpy as np

from harness.judge.conformance_case import Broken, Case, LongRun, refuse_not_finite
from harness.types import Inputs

ROUNDS = 50
GROWTH_LIMIT_BYTES = 4096
SLOWDOWN_LIMIT = 3.0
SLOWDOWN_TRIES = 3
TIMED_BINS = 400


def long_segment_is_answered(case: Case) -> str:
    """A very long segment without a reset gets finite answers to its end."""
    if not case.kind.causal:
        outputs = _predict_long(case)
        refuse_not_finite(outputs)
        return f"{len(outputs)} bins in one call of predict"
    run = case.long_run
    if run.fault:
        raise Broken(run.fault)
    refuse_not_finite(run.outputs)
    return f"{len(run)} bins, {np.median(run.step_ns) / 1e3:.1f} µs a step at the median"


def memory_is_bounded(case: Case) -> str:
    """What a decoder holds does not grow with the number of steps."""
    sizes = case.long_run.sizes
    first, last = min(sizes), max(sizes)
    half = max((n for n in sizes if n <= last / 2), default=last)
    said = f"{sizes[first]} bytes after {first} steps, {sizes[half]} after {half}, {sizes[last]} after {last}"
    if sizes[last] - sizes[half] > GROWTH_LIMIT_BYTES:
        raise Broken(f"{said}; keep a history of fixed length")
    return said


def step_time_is_steady(case: Case) -> str:
    """A step late in a segment takes no longer than an early one."""
    run = case.long_run
    said, slow = _slowdown(run)
    for _ in range(SLOWDOWN_TRIES - 1):
        if not slow:
            return said
        # Another process may have slowed this machine down; a decoder that is slow is slow each time.
        said, slow = _slowdown(case.run_long(len(run)))
    if slow:
        raise Broken(f"{said}, {SLOWDOWN_TRIES} times in a row; do not go through the whole history in each step")
    return said


def _slowdown(run: LongRun) -> tuple[str, bool]:
    """Median step time of the last tenth against that of bins n/40 to n/20, in words, and whether it is too much."""
    n = len(run)
    if n < TIMED_BINS:
        return f"{n} bins are too few to tell", False
    early, late = np.median(run.step_ns[n // 40 : n // 20]) / 1e3, np.median(run.step_ns[-(n // 10) :]) / 1e3
    said = f"median {early:.1f} µs at bins {n // 40} to {n // 20}, {late:.1f} µs in the last {n // 10} of {n} bins"
    return said, bool(late > SLOWDOWN_LIMIT * early)


def _predict_long(case: Case) -> np.ndarray:
    streams = {name: np.concatenate([values] * ROUNDS) for name, values in case.inputs.streams.items()}
    starts = np.arange(ROUNDS * len(case.inputs)) == 0
    return case.predict(case.decoder, Inputs(streams, starts, case.inputs.bin_s))
