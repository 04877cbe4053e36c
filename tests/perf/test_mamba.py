"""Mamba-2's chunked scan beside the recurrence that it stands for: equal, linear in length, and faster."""

from collections.abc import Callable
from functools import partial
from statistics import median

import pytest
import torch

from baselines.mamba2 import Scan, chunked_scan, recurrence
from tests.perf.rows import cpu_seconds, keep

N_HEADS, HEAD, STATE, N_BINS = 8, 64, 64, 500
"""Heads and state of the published student (REALM: width 256, expansion 2)."""
LENGTHS = (500, 1000, 2000, 4000)


def drive(n_bins: int, batch: int) -> Scan:
    shapes = (batch, n_bins, N_HEADS, HEAD), (batch, n_bins, STATE), (batch, n_bins, STATE)
    made = torch.Generator().manual_seed(0)
    decay = -torch.exp(torch.randn(batch, n_bins, N_HEADS, generator=made) - 2)
    return Scan(decay, *(torch.randn(shape, generator=made) for shape in shapes))


def usual_s(work: Callable[[], object], rounds: int = 9) -> float:
    return median(cpu_seconds(work) for _ in range(rounds))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("batch", [1, 8])
def test_it_is_the_recurrence_and_ten_times_faster_at_500_steps(batch, benchmark):
    scan = drive(N_BINS, batch)
    expected, found = recurrence(scan), chunked_scan(scan)
    far = float((found - expected).abs().max() / expected.abs().max())
    faster = usual_s(lambda: recurrence(scan)) / usual_s(lambda: chunked_scan(scan))
    benchmark.pedantic(chunked_scan, (scan,), rounds=5)
    what = f"Mamba-2's chunked scan, {N_BINS} steps, batch {batch}"
    keep(benchmark, f"{what}: relative difference from the recurrence", far, limit=1e-4, unit="")
    keep(benchmark, f"{what}: faster than the recurrence", faster, limit=10, unit="times", aim="least")
    assert far <= 1e-4


def test_it_is_linear_in_length(benchmark):
    per_step = {n: usual_s(partial(chunked_scan, drive(n, 8))) / n for n in LENGTHS}
    benchmark.pedantic(chunked_scan, (drive(LENGTHS[-1], 8),), rounds=3)
    benchmark.extra_info["us_per_step"] = {n: s * 1e6 for n, s in per_step.items()}
    growth = per_step[LENGTHS[-1]] / per_step[LENGTHS[0]]
    what = f"Mamba-2's chunked scan, batch 8: time per step at {LENGTHS[-1]} steps over that at {LENGTHS[0]}"
    keep(benchmark, what, growth, limit=1.5, unit="times")
