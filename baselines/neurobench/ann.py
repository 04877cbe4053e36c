"""NeuroBench's two artificial networks: counts of the last 200 ms, in one window or in seven.

Yik et al. 2025, 10.1038/s41467-025-56739-4. Rectified units come before the normalisation, as published.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.features import in_bins
from baselines.neurobench.network import CountsDecoder, n_units
from baselines.neurobench.windows import LaggedSums, WindowSum, lagged, window_sums
from harness import Bin, SessionInfo

HIDDEN = (32, 48)
N_SUB_WINDOWS = 7
CHUNK_BINS = 4096


class Normalised(torch.nn.BatchNorm1d):
    """Over the batch; a single row, which has no spread, is normalised by what was seen before it."""

    def forward(self, x: Any) -> Any:
        if not self.training or len(x) > 1:
            return super().forward(x)
        return torch.nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


def perceptron(n_inputs: int, n_outputs: int, dropout: float) -> torch.nn.Sequential:
    """The body of both: two layers of rectified units, each normalised over the batch."""
    first, second = HIDDEN
    return torch.nn.Sequential(
        torch.nn.Linear(n_inputs, first),
        torch.nn.ReLU(),
        Normalised(first),
        torch.nn.Linear(first, second),
        torch.nn.Dropout(dropout),
        torch.nn.ReLU(),
        Normalised(second),
        torch.nn.Linear(second, n_outputs),
    )


class Perceptron:
    """The same for one bin, in NumPy."""

    def __init__(self, weights: Mapping[str, np.ndarray], eps: float = 1e-5):
        self._layers = [(weights[f"body.{i}.weight"], weights[f"body.{i}.bias"]) for i in (0, 3)]
        self._readout = weights["body.7.weight"], weights["body.7.bias"]
        self._norms = []
        for i in (2, 6):
            gain = weights[f"body.{i}.weight"] / np.sqrt(weights[f"body.{i}.running_var"] + np.float32(eps))
            self._norms.append((gain, weights[f"body.{i}.bias"] - gain * weights[f"body.{i}.running_mean"]))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        for (weight, bias), (gain, shift) in zip(self._layers, self._norms, strict=True):
            x = np.maximum(weight @ x + bias, 0) * gain + shift
        weight, bias = self._readout
        return weight @ x + bias


class WindowNetwork(torch.nn.Module):
    """A perceptron on the sums of `n_windows` consecutive sub-windows of `n_bins`, newest first.

    n_unanswered: First bins of a stretch that are answered with 0.
    """

    def __init__(self, body: torch.nn.Sequential, *, n_windows: int, n_bins: int, n_unanswered: int):
        super().__init__()
        self.body, self.n_windows, self.n_bins, self.n_unanswered = body, n_windows, n_bins, n_unanswered

    def forward(self, counts: Any) -> Any:
        """counts: (batch, time, n_units) -> (batch, time, n_outputs)."""
        sums, n_time = window_sums(counts, self.n_bins), counts.shape[1]
        halo = (self.n_windows - 1) * self.n_bins
        # In stretches, because all lagged windows of a whole recording would fill the memory.
        pieces = [(max(0, i - halo), i, i + CHUNK_BINS) for i in range(0, n_time, CHUNK_BINS)]
        answers = torch.cat([self._answers(sums[:, first:stop])[:, i - first :] for first, i, stop in pieces], 1)
        return answers * (torch.arange(n_time) >= self.n_unanswered)[:, None]

    def _answers(self, sums: Any) -> Any:
        rows = lagged(sums, self.n_windows, self.n_bins).flatten(2)
        return self.body(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])


@dataclass
class Ann2d(CountsDecoder):
    """A perceptron on the counts of the last `window_s`. It answers the training mean until the window is full."""

    window_s: float = 0.2
    dropout: float = 0.5

    def warm_up_bins(self, bin_s: float) -> int:
        return in_bins(self.window_s, bin_s) - 1

    def build(self, session: SessionInfo) -> WindowNetwork:
        n_bins = in_bins(self.window_s, session.bin_s)
        body = perceptron(n_units(session), len(session.outputs), self.dropout)
        return WindowNetwork(body, n_windows=1, n_bins=n_bins, n_unanswered=n_bins - 1)

    def reset(self, session: SessionInfo) -> None:
        super().reset(session)
        weights = self.weights()
        self._answer = Perceptron(weights)
        self._n_bins = in_bins(self.window_s, session.bin_s)
        self._window = WindowSum(self._n_bins, weights["body.0.weight"].shape[1])

    def step(self, bin: Bin) -> np.ndarray:
        counts = self._window.push(bin[self.inputs[0]])
        if self._window.n_seen < self._n_bins:
            return self.offset_.copy()
        return self._answer(counts) * self.sd_ + self.offset_


@dataclass
class Ann3d(CountsDecoder):
    """A perceptron on seven sub-windows, which together hold `window_s` or at least seven bins.

    The published network leaves the newest bin of its 50 out (7 x 7 = 49 from the oldest on); this one the oldest.
    """

    window_s: float = 0.2
    dropout: float = 0.5

    def sub_bins(self, bin_s: float) -> int:
        """Bins of a sub-window: 7 of 4 ms, 1 of 20 ms or of 50 ms."""
        return max(1, in_bins(self.window_s, bin_s) // N_SUB_WINDOWS)

    def warm_up_bins(self, bin_s: float) -> int:
        return N_SUB_WINDOWS * self.sub_bins(bin_s) - 1

    def build(self, session: SessionInfo) -> WindowNetwork:
        body = perceptron(N_SUB_WINDOWS * n_units(session), len(session.outputs), self.dropout)
        return WindowNetwork(body, n_windows=N_SUB_WINDOWS, n_bins=self.sub_bins(session.bin_s), n_unanswered=0)

    def reset(self, session: SessionInfo) -> None:
        super().reset(session)
        self._answer = Perceptron(self.weights())
        self._windows = LaggedSums(N_SUB_WINDOWS, self.sub_bins(session.bin_s), n_units(session))

    def step(self, bin: Bin) -> np.ndarray:
        return self._answer(self._windows.push(bin[self.inputs[0]]).reshape(-1)) * self.sd_ + self.offset_
