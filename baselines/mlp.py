"""Multilayer perceptron: two hidden layers on the recent history of counts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from baselines.features import History, in_bins
from baselines.network import CountsNetwork
from harness import Bin, SessionInfo

LAYERS = (0, 3, 6)
"""Places of the linear layers among the others."""


@dataclass
class Mlp(CountsNetwork):
    """Two hidden layers of rectified units on `history_s` of square-root counts."""

    steps_in_numpy = True
    history_s: float = 0.4
    batch_size: int = 8

    def warm_up_bins(self, bin_s: float) -> int:
        return in_bins(self.history_s, bin_s) - 1

    def build(self, session: SessionInfo) -> Any:
        from baselines.count_networks import Corruption, HistoryNetwork, perceptron

        n_bins = in_bins(self.history_s, session.bin_s)
        n_inputs, n_outputs = n_bins * session.streams[self.inputs[0]].n_channels, len(session.outputs)
        layers = perceptron(n_inputs, self.hidden, n_outputs, dropout=self.dropout)
        return HistoryNetwork(layers, n_bins=n_bins, corruption=Corruption(self.input_dropout, self.noise))

    def reset(self, session: SessionInfo) -> None:
        weights = self.weights()
        names = [f"perceptron.{place}" for place in LAYERS]
        self._layers = [(weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in names]
        self._history = History(self._layers[0][0].shape[1] // len(self.mean_), len(self.mean_))
        self._standard = self.standard

    def step(self, bin: Bin) -> np.ndarray:
        x = self._history.push(self._standard(bin[self.inputs[0]]))
        for weight, bias in self._layers[:-1]:
            x = np.maximum(weight @ x + bias, 0)
        weight, bias = self._layers[-1]
        return (weight @ x + bias) * self.sd_ + self.offset_
