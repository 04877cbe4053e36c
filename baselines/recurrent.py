"""What GRU and LSTM share: the network in PyTorch, and its streaming step in NumPy."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from baselines.network import CountsNetwork
from harness import Bin, SessionInfo


class Cell(abc.ABC):
    """One layer of a recurrent network for one bin at a time; a fresh one has forgotten everything."""

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self.from_input, self.from_hidden = weights["weight_ih_l0"], weights["weight_hh_l0"]
        self.input_bias, self.hidden_bias = weights["bias_ih_l0"], weights["bias_hh_l0"]
        self.hidden = np.zeros(self.from_hidden.shape[1], np.float32)

    @abc.abstractmethod
    def advance(self, row: np.ndarray) -> np.ndarray:
        """Take in (n_features,) and return the new hidden state (n_hidden,)."""


@dataclass
class Recurrent(CountsNetwork):
    """One recurrent layer. `predict` runs PyTorch over whole segments, `step` the same weights in NumPy.

    layer: Its name in `torch.nn`.
    """

    steps_in_numpy = True
    layer: ClassVar[str]
    cell: ClassVar[type[Cell]]

    def build(self, session: SessionInfo) -> Any:
        import torch

        from baselines.count_networks import Corruption, RecurrentNetwork

        n_units = session.streams[self.inputs[0]].n_channels
        return RecurrentNetwork(
            getattr(torch.nn, self.layer)(n_units, self.hidden, batch_first=True),
            len(session.outputs),
            corruption=Corruption(self.input_dropout, self.noise),
            dropout=self.dropout,
        )

    def reset(self, session: SessionInfo) -> None:
        weights = self.weights()
        self._cell = self.cell({k.removeprefix("layer."): v for k, v in weights.items()})
        self._readout, self._bias = weights["readout.weight"], weights["readout.bias"]
        self._standard = self.standard

    def step(self, bin: Bin) -> np.ndarray:
        hidden = self._cell.advance(self._standard(bin[self.inputs[0]]))
        return (self._readout @ hidden + self._bias) * self.sd_ + self.offset_
