"""What is odd in a broadband recording without making it useless: still, saturated or implausibly large channels."""

from collections.abc import Sequence

import numpy as np

from harness.data.decimate import Break

SATURATED_SAMPLES = 24
"""So many neighbouring pairs at a channel's extreme value, a millisecond in all, are no coincidence."""

PLAUSIBLE_V = (1e-6, 5e-3)
"""Between these lies the standard deviation of a local field potential."""

MOST_NAMED = 6


class Oddities:
    """Counts, block by block, how often a channel stands at its highest or lowest value, and how much it varies.

    Two neighbouring samples in two blocks are not compared, so that each block is looked at alone.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = np.array(names)
        self._extremes = [np.full(len(names), -np.inf), np.full(len(names), -np.inf)]
        self._n_stuck = [np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)]
        self._n, self._sum, self._squares = 0, np.zeros(len(names)), np.zeros(len(names))

    def push(self, values: np.ndarray) -> None:
        """Look at the next (n_samples, n_channels) numbers as stored."""
        for side, (extreme, sign) in enumerate(((values.max(axis=0), 1.0), (values.min(axis=0), -1.0))):
            n_stuck = np.count_nonzero((values[1:] == extreme) & (values[:-1] == extreme), axis=0)
            signed = sign * extreme.astype(np.float64)
            kept = np.where(signed < self._extremes[side], 0, n_stuck)
            self._n_stuck[side] = np.where(signed > self._extremes[side], kept, self._n_stuck[side] + kept)
            self._extremes[side] = np.maximum(self._extremes[side], signed)

    def push_volts(self, volts: np.ndarray) -> None:
        """Look at the next (n_kept, n_channels) filtered values."""
        self._n += len(volts)
        self._sum += volts.sum(axis=0)
        self._squares += np.square(volts).sum(axis=0)

    def findings(self, breaks: Sequence[Break]) -> tuple[str, ...]:
        """One sentence for each kind of oddity."""
        still = self._extremes[0] == -self._extremes[1]
        saturated = ~still & (self._n_stuck[0] + self._n_stuck[1] >= SATURATED_SAMPLES)
        return (
            *self._channels(still, "never change"),
            *self._channels(saturated, "stand at their extreme value again and again: saturated"),
            *self._voltage(still),
            *_breaks(breaks),
        )

    def _channels(self, which: np.ndarray, what: str) -> list[str]:
        names = self._names[which]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        named = ", ".join(names[:MOST_NAMED])
        return [f"{len(names)} of {len(self._names)} channels {what}: {named}{more}"] if len(names) else []

    def _voltage(self, still: np.ndarray) -> list[str]:
        moving = ~still
        if not self._n or not moving.any():
            return []
        variance = self._squares / self._n - np.square(self._sum / self._n)
        typical_v = float(np.sqrt(np.median(np.maximum(variance[moving], 0))))
        if PLAUSIBLE_V[0] <= typical_v <= PLAUSIBLE_V[1]:
            return []
        return [
            f"the typical channel has a standard deviation of {typical_v:.2g} V, where {PLAUSIBLE_V[0]:g} to "
            f"{PLAUSIBLE_V[1]:g} V are plausible: the attribute 'conversion' may not give volts"
        ]


def _breaks(breaks: Sequence[Break]) -> list[str]:
    if not breaks:
        return []
    missing_s, first = sum(b.missing_s for b in breaks), breaks[0]
    return [
        f"the recording breaks {len(breaks)} times, {missing_s * 1000:.3g} ms in all, first before "
        f"{first.time_s:.3f} s; the filter starts again there"
    ]
