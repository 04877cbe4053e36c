"""Gated recurrent unit: a network with a memory that it learns to write and to clear."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from baselines.recurrent import Cell, Recurrent


class GruCell(Cell):
    """The equations of `torch.nn.GRU` (Cho et al. 2014, 10.3115/v1/D14-1179)."""

    def advance(self, row: np.ndarray) -> np.ndarray:
        n = len(self.hidden)
        driven = self.from_input @ row + self.input_bias
        recurrent = self.from_hidden @ self.hidden + self.hidden_bias
        gates = expit(driven[: 2 * n] + recurrent[: 2 * n])
        proposal = np.tanh(driven[2 * n :] + gates[:n] * recurrent[2 * n :])
        self.hidden = proposal + gates[n:] * (self.hidden - proposal)
        return self.hidden


@dataclass
class Gru(Recurrent):
    """One layer of gated recurrent units on square-root counts."""

    layer = "GRU"
    cell = GruCell
