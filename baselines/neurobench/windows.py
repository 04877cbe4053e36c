"""Sums of counts over the last bins, in PyTorch for a stretch and in NumPy for one bin. Counts make them exact."""

from typing import Any

import numpy as np
import torch


def window_sums(counts: Any, n_bins: int) -> Any:
    """Sum over each bin and the `n_bins - 1` before: (batch, time, n_units) -> the same; zeros before the start."""
    total = counts.cumsum(1)
    earlier = torch.nn.functional.pad(total, (0, 0, n_bins, 0))[:, : counts.shape[1]]
    return total - earlier


class WindowSum:
    """The sum for one bin after the other; a fresh one has forgotten everything.

    n_seen: Bins seen since then.
    """

    def __init__(self, n_bins: int, n_units: int):
        self._rows = np.zeros((n_bins, n_units), np.float32)
        self._sum = np.zeros(n_units, np.float32)
        self.n_seen = 0

    def push(self, counts: np.ndarray) -> np.ndarray:
        """Add (n_units,) counts and return a sum (n_units,) of the caller's own."""
        oldest = self._rows[self.n_seen % len(self._rows)]
        self._sum = self._sum + (counts - oldest)
        oldest[:] = counts
        self.n_seen += 1
        return self._sum


class LaggedSums:
    """Sums over consecutive sub-windows, the newest first: row k ends k * n_bins bins ago."""

    def __init__(self, n_windows: int, n_bins: int, n_units: int):
        self._window = WindowSum(n_bins, n_units)
        self._sums = np.zeros(((n_windows - 1) * n_bins + 1, n_units), np.float32)
        self._lags = np.arange(n_windows) * n_bins

    def push(self, counts: np.ndarray) -> np.ndarray:
        """Add (n_units,) counts and return (n_windows, n_units)."""
        newest = self._window.n_seen
        self._sums[newest % len(self._sums)] = self._window.push(counts)
        return self._sums[(newest - self._lags) % len(self._sums)]


def lagged(sums: Any, n_windows: int, n_bins: int) -> Any:
    """What `LaggedSums` gives: (batch, time, n_units) sums -> (batch, time, n_windows, n_units)."""
    n_earlier = (n_windows - 1) * n_bins
    padded = torch.nn.functional.pad(sums, (0, 0, n_earlier, 0))
    return torch.stack([padded[:, n_earlier - k * n_bins :][:, : sums.shape[1]] for k in range(n_windows)], 2)
