"""Round trips in numbers: percentiles, misses, jitter, histogram; and the delays that add up before an answer."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.types import Delay

QUANTILES: Mapping[str, float] = {"p50": 50, "p95": 95, "p99": 99, "p999": 99.9}
BARS_PER_DECADE = 10


@dataclass(frozen=True)
class LatencySummary:
    """Round trips of one or more streamed recordings, in ms.

    deadline_miss_rate: Share of answers that came later than the bin's width.
    jitter: Mean difference of neighbouring round trips, without sign.
    histogram: Lower edge of a bar in us, three digits -> number of round trips; ten bars to a decade.
    """

    p50: float
    p95: float
    p99: float
    p999: float
    max: float
    jitter: float
    deadline_miss_rate: float
    n: int
    histogram: Mapping[str, int]


def summarise(round_trip_ns: np.ndarray, *, bin_s: float) -> LatencySummary | None:
    """Summarise (n_bins,) round trips; None if there is none."""
    if not round_trip_ns.size:
        return None
    ms = round_trip_ns / 1e6
    quantiles = dict(zip(QUANTILES, np.percentile(ms, list(QUANTILES.values())).tolist(), strict=True))
    return LatencySummary(
        **quantiles,
        max=float(ms.max()),
        jitter=float(np.mean(np.abs(np.diff(ms)))) if len(ms) > 1 else 0.0,
        deadline_miss_rate=float(np.mean(ms > bin_s * 1e3)),
        n=len(ms),
        histogram=histogram(round_trip_ns),
    )


def histogram(round_trip_ns: np.ndarray) -> dict[str, int]:
    """Count round trips in bars of equal ratio, ten to a decade: lower edge in us -> count."""
    bars = np.floor(np.log10(np.maximum(round_trip_ns, 1) / 1e3) * BARS_PER_DECADE).astype(int)
    return {f"{10 ** (bar / BARS_PER_DECADE):.3g}": n for bar, n in sorted(Counter(bars.tolist()).items())}


def median_pass(passes: Sequence[np.ndarray]) -> int:
    """Index of the pass whose p99 is the median of all; of two in the middle, the slower."""
    order = sorted(range(len(passes)), key=lambda i: float(np.percentile(passes[i], 99)))
    return order[len(order) // 2]


def spread(passes: Sequence[np.ndarray]) -> dict[str, tuple[float, float]]:
    """Lowest and highest p50 and p99 of several passes, in ms."""
    found = {name: [float(np.percentile(p, QUANTILES[name])) / 1e6 for p in passes] for name in ("p50", "p99")}
    return {name: (min(values), max(values)) for name, values in found.items()}


def delays(answer: Delay, *, bin_s: float, lag_s: float, filter_s: float, compute_ms: float) -> dict[str, float]:
    """What passes between an instant of neural activity and the answer about it, in ms, and the sum.

    Args:
        answer: Which bin an answer is about, as the decoder declares it.
        bin_s: Width of a bin: activity at its left edge waits so long to be sent.
        lag_s: The task's lag; below zero the answer is about an instant before the bin's right edge.
        filter_s: Group delay of the causal filters that the suite applies; 0 where it applies none.
        compute_ms: From sending a bin to its answer.

    Returns:
        Part -> ms; of the window only for a decoder that has one.
    """
    parts = {
        "look_ahead": (max(0.0, -lag_s) + answer.look_ahead_bins * bin_s) * 1e3,
        "interpolation": answer.interpolation_bins * bin_s * 1e3,
        "window": answer.window_s * 1e3,
        "filter": filter_s * 1e3,
        "bin": bin_s * 1e3,
        "compute": compute_ms,
    }
    if not answer.window_s:
        del parts["window"]
    return parts | {"total": math.fsum(parts.values())}
