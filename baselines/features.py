"""What the baselines read from a stream of counts: standardised square roots and their recent history.

The same functions serve one bin (n_units,) in `step` and a whole recording (n_bins, n_units) in `fit`.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from harness import HarnessError, Recording

Transform = Literal["sqrt", "none"]
CHUNK_BINS = 2048


def transformed(counts: np.ndarray, transform: Transform) -> np.ndarray:
    """Square roots make the variance of counts nearly independent of the rate; any shape, float32."""
    return np.sqrt(np.maximum(counts, 0)) if transform == "sqrt" else counts


class Standard:
    """Counts -> zero mean and unit variance on training; a channel that is constant there is always 0."""

    def __init__(self, mean: np.ndarray, gain: np.ndarray, transform: Transform):
        self.mean, self.gain, self.transform = mean, gain, transform

    @classmethod
    def of(cls, counts: Sequence[np.ndarray], transform: Transform) -> "Standard":
        """Measure mean and gain, (n_units,) float32 each, on training counts, (n_bins, n_units) each.

        Raises:
            HarnessError: If the recordings differ in their channels.
        """
        widths = sorted({c.shape[1] for c in counts})
        if len(widths) > 1:
            raise HarnessError(
                f"recordings of {widths} channels cannot be fitted together by this decoder; "
                f"fit each session on its own (fit: each)"
            )
        values = np.concatenate([transformed(c, transform) for c in counts])
        sd = values.std(axis=0, dtype=np.float64)
        gain = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 1e-6)
        return cls(values.mean(axis=0, dtype=np.float64).astype(np.float32), gain.astype(np.float32), transform)

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        rows = transformed(counts, self.transform) - self.mean
        rows *= self.gain
        return rows


class History:
    """The last `n_bins` rows, newest first; bins before the segment's start are zero, i.e. the training mean."""

    def __init__(self, n_bins: int, n_units: int):
        self._rows = np.zeros((2 * n_bins, n_units), np.float32)
        self._n_bins = n_bins
        self._newest = 0

    def push(self, row: np.ndarray) -> np.ndarray:
        """Add a row (n_units,); return a view (n_bins * n_units,) that is valid until the next push."""
        # Every row is written twice, n_bins apart, so that the window is one contiguous stretch without copying.
        i = self._newest = (self._newest - 1) % self._n_bins
        self._rows[i] = self._rows[i + self._n_bins] = row
        return self._rows[i : i + self._n_bins].reshape(-1)


def stacked(rows: np.ndarray, starts: np.ndarray, n_bins: int, *, wanted: np.ndarray) -> Iterator[np.ndarray]:
    """What `History` gives at the `wanted` bins (indices), as chunks of (n_wanted, n_bins * n_units)."""
    segment_start = np.maximum.accumulate(np.where(starts, np.arange(len(rows)), 0))
    padded = np.concatenate([rows, np.zeros_like(rows[:1])])
    for i in range(0, len(wanted), CHUNK_BINS):
        bins = wanted[i : i + CHUNK_BINS, None]
        source = bins - np.arange(n_bins)
        source[source < segment_start[bins]] = len(rows)
        yield padded[source].reshape(len(bins), -1)


def in_bins(seconds: float, bin_s: float) -> int:
    """A duration as a number of bins, at least one."""
    return max(1, round(seconds / bin_s))


def scored_targets(recordings: Sequence[Recording]) -> np.ndarray:
    """All scored targets, (n_scored, n_outputs) float64.

    Raises:
        HarnessError: If there is none to learn from.
    """
    targets = [r.targets[r.scored] for r in recordings]
    if not sum(map(len, targets)):
        names = ", ".join(sorted({r.session.id for r in recordings})) or "none"
        raise HarnessError(
            f"{len(recordings)} training recordings (sessions: {names}) hold no scored bin; "
            f"a decoder needs at least one, so check the suite's split and scored windows"
        )
    return np.concatenate(targets).astype(np.float64)
