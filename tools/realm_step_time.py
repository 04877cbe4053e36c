"""Time the streaming step of REALM's causal student, with weights as they are drawn: `python tools/realm_step_time.py`.

Beside it stands the time to read its weights once: a step touches each of them, and they do not fit into most caches.
"""

import argparse
import os
import time
from collections.abc import Callable

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

from baselines.realm.decoder import Realm  # noqa: E402
from harness import SessionInfo, StreamInfo  # noqa: E402
from harness.torch_decoder import repeatable  # noqa: E402

N_CHANNELS, N_OUTPUTS = 96, 2


def untrained(preset: str) -> tuple[Realm, SessionInfo]:
    """A decoder that streams, and the session that it streams."""
    streams = {"lfp": StreamInfo(N_CHANNELS, 1, 100.0, "uV")}
    session = SessionInfo("made-up", "made-up", streams, 0.01, ("x", "y"))
    repeatable(0)
    decoder = Realm(preset=preset)
    decoder.network = decoder.build(session)
    decoder.mean_, decoder.gain_ = np.zeros(N_CHANNELS, np.float32), np.ones(N_CHANNELS, np.float32)
    decoder.readout_ = np.ones((N_OUTPUTS, decoder.sizes.student.width), np.float32)
    decoder.intercept_ = np.zeros(N_OUTPUTS, np.float32)
    decoder.reset(session)
    return decoder, session


def milliseconds(work: Callable[[], object], n: int) -> np.ndarray:
    """Times of n calls, (n,) ms."""
    times = np.empty(n)
    for i in range(n):
        start = time.perf_counter_ns()
        work()
        times[i] = (time.perf_counter_ns() - start) / 1e6
    return times


def main() -> None:
    """Print p50, p99 and the most, and the ratio to one reading of the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--bins", type=int, default=3000)
    given = parser.parse_args()
    decoder, _ = untrained(given.preset)
    weights = np.concatenate([array.ravel() for array in decoder.weights().values()])
    row = np.random.default_rng(0).normal(size=(1, N_CHANNELS)).astype(np.float32)
    milliseconds(lambda: decoder.step({"lfp": row}), 100)
    steps = milliseconds(lambda: decoder.step({"lfp": row}), given.bins)
    reading = milliseconds(weights.sum, 300)
    (p50, p99), once = np.percentile(steps, [50, 99]), np.median(reading)
    print(f"{given.preset}: {weights.size:,} weights, {weights.nbytes / 1e6:.1f} MB, {given.bins} bins")
    print(f"step: p50 {p50:.2f} ms, p99 {p99:.2f} ms, most {steps.max():.2f} ms")
    print(f"reading the weights once: p50 {once:.2f} ms; a step takes {p50 / once:.1f} times that")


if __name__ == "__main__":
    main()
