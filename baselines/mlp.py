"""Multilayer perceptron: two hidden layers on the recent history of counts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.features import History, in_bins
from baselines.network import Corruption, CountsNetwork
from harness import Bin, SessionInfo


class HistoryNetwork(torch.nn.Module):
    """The same perceptron at every bin, on its own and the `n_bins - 1` bins before, newest first."""

    def __init__(self, perceptron: torch.nn.Sequential, *, n_bins: int, corruption: Corruption):
        super().__init__()
        self.perceptron, self.n_bins, self.corruption = perceptron, n_bins, corruption

    def forward(self, x: Any) -> Any:
        """x: (batch, n_bins, n_units); bins before the first are zero, as in `History`."""
        padded = torch.nn.functional.pad(self.corruption(x), (0, 0, self.n_bins - 1, 0))
        lags = [padded[:, self.n_bins - 1 - lag :][:, : x.shape[1]] for lag in range(self.n_bins)]
        return self.perceptron(torch.cat(lags, dim=2))


@dataclass
class Mlp(CountsNetwork):
    """Two hidden layers of rectified units on `history_s` of square-root counts."""

    history_s: float = 0.4
    batch_size: int = 8

    def warm_up_bins(self, bin_s: float) -> int:
        return in_bins(self.history_s, bin_s) - 1

    def build(self, session: SessionInfo) -> HistoryNetwork:
        n_bins = in_bins(self.history_s, session.bin_s)
        perceptron = torch.nn.Sequential(
            torch.nn.Linear(n_bins * session.streams[self.inputs[0]].n_channels, self.hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(self.dropout),
            torch.nn.Linear(self.hidden, self.hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(self.dropout),
            torch.nn.Linear(self.hidden, len(session.outputs)),
        )
        return HistoryNetwork(perceptron, n_bins=n_bins, corruption=Corruption(self.input_dropout, self.noise))

    def reset(self, session: SessionInfo) -> None:
        arrays = list(self.weights().values())
        self._layers = list(zip(arrays[::2], arrays[1::2], strict=True))
        self._history = History(arrays[0].shape[1] // len(self.mean_), len(self.mean_))
        self._standard = self.standard

    def step(self, bin: Bin) -> np.ndarray:
        x = self._history.push(self._standard(bin[self.inputs[0]]))
        for weight, bias in self._layers[:-1]:
            x = np.maximum(weight @ x + bias, 0)
        weight, bias = self._layers[-1]
        return (weight @ x + bias) * self.sd_ + self.offset_
