"""The judge's overhead per streamed bin: a 96-channel linear map through an isolated worker, pinned to one core.

Target (design, section 9): p50 <= 25 us, p99 <= 100 us.
"""

import time
from pathlib import Path

import numpy as np
import pytest

from harness import Inputs, SessionInfo, StreamInfo
from harness.judge.artifact import pack
from harness.judge.hardware import calibrate, pinned
from harness.judge.host import Worker
from harness.judge.profiles import load_profile
from harness.judge.stream import stream
from harness.registry import construct, find
from tests.perf.rows import keep

N_BINS, N_UNITS = 20_000, 96
DECODER = f"{Path(__file__).parents[1] / 'hostile' / 'misbehaving.py'}:SumOfCounts"


@pytest.fixture
def inputs():
    counts = np.random.default_rng(0).poisson(0.3, (N_BINS, N_UNITS)).astype(np.float32)
    return Inputs({"spikes": counts}, np.arange(N_BINS) == 0, 0.02)


def own_step_us(inputs: Inputs, session: SessionInfo) -> float:
    """Median time of the same step called directly in this process."""
    decoder = construct(find(DECODER), {})
    decoder.map_ = np.ones((N_UNITS, 2), np.float32)
    decoder.reset(session)
    times = []
    for _, bin in inputs.bins():
        start = time.perf_counter_ns()
        decoder.step(bin)
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times)) / 1e3


def test_overhead_of_one_streamed_bin(benchmark, inputs):
    session = SessionInfo("s", "m", {"spikes": StreamInfo(N_UNITS)}, 0.02, ("x", "y"))
    profile = load_profile("cpu-1")
    with pinned(profile.n_cores), Worker(find(DECODER), {}, profile) as worker:
        worker.restore(pack({"map_": np.ones((N_UNITS, 2), np.float32)}), [session])
        streamed = benchmark.pedantic(stream, (worker, inputs, session), rounds=5, warmup_rounds=1)
        p50, p99 = np.percentile(streamed.round_trip_ns / 1e3, [50, 99])
        step = own_step_us(inputs, session)
        benchmark.extra_info |= {"p50_us": p50, "p99_us": p99, "step_us": step, "isolation": worker.isolation}
        benchmark.extra_info |= calibrate()
    what = f"judge's overhead per streamed bin, {worker.isolation}, {N_UNITS} channels"
    keep(benchmark, f"{what}: p50", p50 - step, limit=25, unit="us")
    keep(benchmark, f"{what}: p99", p99 - step, limit=100, unit="us")
    assert len(streamed.outputs) == N_BINS
