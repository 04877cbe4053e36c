"""The streaming step of REALM's causal student at its published size, beside one reading of its weights.

A step touches each weight once, and they do not fit into most caches; weights are as drawn, the work is the same.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import time  # noqa: E402

import numpy as np  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

from baselines.realm.decoder import Realm  # noqa: E402
from harness import SessionInfo, StreamInfo  # noqa: E402
from harness.torch_decoder import repeatable  # noqa: E402
from tests.perf.rows import keep  # noqa: E402

N_CHANNELS, N_OUTPUTS, N_BINS = 96, 2, 3000


def untrained() -> Realm:
    """The student, ready to stream."""
    streams = {"lfp": StreamInfo(N_CHANNELS, 1, 100.0, "uV")}
    session = SessionInfo("made-up", "made-up", streams, 0.01, ("x", "y"))
    repeatable(0)
    decoder = Realm(preset="paper")
    decoder.network = decoder.build(session)
    decoder.mean_, decoder.gain_ = np.zeros(N_CHANNELS, np.float32), np.ones(N_CHANNELS, np.float32)
    decoder.readout_ = np.ones((N_OUTPUTS, decoder.sizes.student.width), np.float32)
    decoder.intercept_ = np.zeros(N_OUTPUTS, np.float32)
    decoder.reset(session)
    return decoder


def milliseconds(work, n: int) -> np.ndarray:
    """Times of n calls, (n,) ms."""
    times = np.empty(n)
    for i in range(n):
        start = time.perf_counter_ns()
        work()
        times[i] = (time.perf_counter_ns() - start) / 1e6
    return times


def test_a_step_keeps_pace_and_costs_little_more_than_reading_the_weights(benchmark):
    decoder = untrained()
    weights = np.concatenate([array.ravel() for array in decoder.weights().values()])
    row = np.random.default_rng(0).normal(size=(1, N_CHANNELS)).astype(np.float32)
    with threadpool_limits(1):
        milliseconds(lambda: decoder.step({"lfp": row}), 100)
        # In turns, for a shared machine's memory is not equally fast all the time.
        turns = [
            (milliseconds(lambda: decoder.step({"lfp": row}), N_BINS // 10), milliseconds(weights.sum, 60))
            for _ in range(10)
        ]
        benchmark.pedantic(decoder.step, ({"lfp": row},), rounds=100)
    steps, readings = (np.concatenate(one) for one in zip(*turns, strict=True))
    p50, p99 = np.percentile(steps, [50, 99])
    what = f"causal student of {weights.size:,} weights, one thread, a 10 ms bin"
    keep(benchmark, f"{what}: p99", p99, limit=5, unit="ms")
    keep(benchmark, f"{what}: p50 over one reading of its weights", p50 / np.median(readings), limit=2, unit="times")
