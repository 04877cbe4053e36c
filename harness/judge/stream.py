"""The loop: send one bin, wait for its answer, look at the clock. The next bin has not been sent yet."""

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.judge import wire
from harness.judge.host import Worker
from harness.judge.replies import WorkerFault, refuse_non_finite
from harness.types import Inputs, SessionInfo


@dataclass(frozen=True)
class Streamed:
    """What came back.

    outputs: (n_bins, n_outputs) float32, all finite.
    round_trip_ns: (n_bins,) int64, from just before a bin is sent (or was due) to just after its answer is there.
    """

    outputs: np.ndarray
    round_trip_ns: np.ndarray


def stream(
    worker: Worker, inputs: Inputs, session: SessionInfo, *, begin: Callable[[int], int] | None = None
) -> Streamed:
    """Stream a recording through a worker, bin by bin, with a reset at every start.

    Args:
        begin: Called with a bin's index right before it is sent; gives the ns from which its round trip counts.

    Raises:
        WorkerFault: With the bin, when an answer is missing, late, of the wrong size or not finite.
    """
    worker.before_stream()
    streams, starts = wire.flat_bins(inputs, session), inputs.starts.tolist()
    n_bins, n_outputs = len(inputs), len(session.outputs)
    tokens = os.urandom(8 * n_bins)
    answers = bytearray(4 * n_outputs * n_bins)
    round_trip_ns = np.zeros(n_bins, np.int64)
    clock, width, size = time.perf_counter_ns, 4 * n_outputs, wire.HEADER + 4 * n_outputs
    limits = worker.limits
    deadline_ns = clock() + int(limits.stream_seconds * 1e9)
    gc.disable()
    try:
        for k in range(n_bins):
            if starts[k]:
                worker.reset(session if k == 0 else None, at_bin=k)
                channel = worker.streaming_channel()
                send, receive = channel.send, channel.recv
            token = tokens[8 * k : 8 * k + 8]
            message = wire.message(wire.BIN, wire.row_of(streams, k), token)
            received: bytes | OSError
            sent_ns = begin(k) if begin else clock()
            try:
                send(message)
                received = receive(wire.MAX_REPLY)
            except OSError as error:
                received = error
            answered_ns = clock()
            round_trip_ns[k] = answered_ns - sent_ns
            if isinstance(received, OSError) or len(received) != size or not wire.answers(received, token):
                raise worker.fault(received, limits.step_seconds, at_bin=k)
            if answered_ns > deadline_ns:
                raise WorkerFault("timed-out", f"the pass took more than {limits.stream_seconds:g} s", k)
            answers[width * k : width * (k + 1)] = received[16:]
    finally:
        gc.enable()
    outputs = np.frombuffer(answers, "<f4").reshape(n_bins, n_outputs).astype(np.float32)
    return Streamed(refuse_non_finite(outputs), round_trip_ns)
