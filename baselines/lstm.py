"""Long short-term memory: a recurrent network whose memory is kept apart from what it shows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from baselines.recurrent import Cell, Recurrent


class LstmCell(Cell):
    """The equations of `torch.nn.LSTM` (Hochreiter and Schmidhuber 1997, 10.1162/neco.1997.9.8.1735)."""

    def __init__(self, weights: Mapping[str, np.ndarray]):
        super().__init__(weights)
        self.memory = np.zeros_like(self.hidden)

    def advance(self, row: np.ndarray) -> np.ndarray:
        n = len(self.hidden)
        driven = self.from_input @ row + self.input_bias
        driven += self.from_hidden @ self.hidden + self.hidden_bias
        write, keep = expit(driven[:n]), expit(driven[n : 2 * n])
        self.memory = keep * self.memory + write * np.tanh(driven[2 * n : 3 * n])
        self.hidden = expit(driven[3 * n :]) * np.tanh(self.memory)
        return self.hidden


@dataclass
class Lstm(Recurrent):
    """One layer of long short-term memory on square-root counts."""

    layer = "LSTM"
    cell = LstmCell
