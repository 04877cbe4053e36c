"""Latency passes: watched by the noise guard, and repeated where it finds that one was disturbed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from harness.judge.hardware import Guard
from harness.judge.host import Worker
from harness.judge.replies import WorkerFault
from harness.judge.resources import Memory
from harness.judge.stream import Streamed, stream
from harness.score.latency import median_pass, spread
from harness.types import Recording

P = TypeVar("P")


@dataclass(frozen=True)
class Passes(Generic[P]):
    """One pass, or all repeats of one that was disturbed.

    all: What each gave, in order; the first is the one that is scored.
    round_trip_ns: (n_bins,) of the pass whose p99 is the median of all.
    spread: Lowest and highest p50 and p99 of all, in ms.
    calibration: Of the guard of the first.
    noisy: Most of them were disturbed; `why` says by what.
    """

    all: tuple[P, ...]
    round_trip_ns: np.ndarray
    spread: Mapping[str, tuple[float, float]]
    calibration: Mapping[str, float]
    noisy: bool
    why: str


def repeated(once: Callable[[], P], round_trips: Callable[[P], np.ndarray], *, most: int) -> Passes[P]:
    """Make a pass; if the guard finds it disturbed, make more of them, `most` in all."""
    done: list[P] = []
    guards: list[Guard] = []
    while not done or (guards[0].noisy and len(done) < most):
        with Guard() as guard:
            done.append(once())
        guards.append(guard)
    times = [round_trips(one) for one in done]
    disturbed = [guard.why for guard in guards if guard.noisy]
    noisy = 2 * len(disturbed) > len(done)
    return Passes(
        tuple(done),
        times[median_pass(times)],
        spread(times),
        guards[0].calibration,
        noisy,
        disturbed[0] if noisy else "",
    )


@dataclass(frozen=True)
class Whole:
    """A pass over a whole recording, with a look at the worker's memory after each quarter of it."""

    streamed: Streamed
    memory: list[Memory | None]


def whole(worker: Worker, part: Recording) -> Whole:
    """Stream a recording as fast as it is answered."""
    looks: list[Memory | None] = []
    quarters, clock = [len(part) * i // 4 for i in (1, 2, 3)], time.perf_counter_ns

    def begin(k: int) -> int:
        if k in quarters:
            looks.append(worker.resources.memory())
        return clock()

    streamed = stream(worker, part.inputs, part.session, begin=begin)
    return Whole(streamed, [*looks, worker.resources.memory()])


def in_phase(phase: str, work: Callable[[], P]) -> P:
    """Do some work; a fault says in which phase it came."""
    try:
        return work()
    except WorkerFault as fault:
        raise WorkerFault(fault.status, f"{phase}: {fault}") from None
