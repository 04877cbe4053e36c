"""The paced pass: bins leave at their real times, as from an amplifier, and between them the worker should rest."""

import time
from dataclasses import dataclass

import numpy as np

from harness.judge.host import Worker
from harness.judge.stream import Streamed, stream
from harness.types import Inputs, SessionInfo

NS = 1_000_000_000


@dataclass(frozen=True)
class Paced:
    """What a paced pass left.

    streamed: Answers and round trips; a bin that had to wait for the answer before it counts from when it was due.
    late_ns: (n_bins,) int64, how much later than due bins left: the judge's own jitter, and that of queues.
    idle_ns: (n_bins - 1,) int64, processor time of the worker between an answer and the next bin; empty if unknown.
    """

    streamed: Streamed
    late_ns: np.ndarray
    idle_ns: np.ndarray


def paced(worker: Worker, inputs: Inputs, session: SessionInfo) -> Paced:
    """Stream a recording in real time."""
    pace = _Pace(worker, round(inputs.bin_s * NS))
    streamed = stream(worker, inputs, session, begin=pace)
    return Paced(streamed, np.array(pace.late_ns, np.int64), np.array(pace.idle_ns, np.int64))


class _Pace:
    """Waits until a bin is due; looks at the worker's processor time before and after waiting."""

    def __init__(self, worker: Worker, bin_ns: int) -> None:
        self.worker, self.bin_ns, self.start_ns = worker, bin_ns, 0
        self.late_ns: list[int] = []
        self.idle_ns: list[int] = []

    def __call__(self, k: int) -> int:
        clock = time.perf_counter_ns
        if k == 0:
            self.start_ns = clock()
        due_ns = self.start_ns + k * self.bin_ns
        before = self.worker.resources.processor_ns()
        wait_ns = due_ns - clock()
        if wait_ns > 0:
            time.sleep(wait_ns / NS)
            after = self.worker.resources.processor_ns()
            if before is not None and after is not None:
                self.idle_ns.append(after - before)
        now_ns = clock()
        self.late_ns.append(now_ns - due_ns)
        return now_ns if wait_ns > 0 else due_ns
