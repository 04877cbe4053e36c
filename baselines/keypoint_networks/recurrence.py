"""Gated and spiking gated units at keypoints, in PyTorch and for one keypoint at a time in NumPy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from baselines.gru import GruCell
from baselines.hybrid_snn.streaming import Units
from baselines.spiking import arctan_spike

BETA = 0.9
THRESHOLD = 1.0


class NormalisedGru(torch.nn.Module):
    """Gated recurrent units, then layer normalisation and dropout."""

    def __init__(self, n_inputs: int, n_units: int, dropout: float):
        super().__init__()
        self.n_hidden, self.n_spikes = n_units, torch.zeros(())
        self.layer = torch.nn.GRU(n_inputs, n_units, batch_first=True)
        self.norm, self.dropout = torch.nn.LayerNorm(n_units), torch.nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        return self.dropout(self.norm(self.layer(x)[0])) if x.shape[1] else x.new_zeros(len(x), 0, self.n_hidden)


class SpikingGru(torch.nn.Module):
    """Gated recurrent units whose two gates and candidate are spikes, then layer normalisation and dropout.

    With z, r and c the spikes of three layers of leaky integrate-and-fire units (reset by subtraction),

        h[t] = (1 - z[t]) h[t-1] + z[t] c[t],    c[t] driven by x[t] and (1 - r[t]) h[t-1]

    so the hidden state is 0 or 1 too.
    """

    def __init__(self, n_inputs: int, n_units: int, dropout: float):
        super().__init__()
        self.n_hidden, self.n_spikes = n_units, torch.zeros(())
        self.driven = torch.nn.Linear(n_inputs, 3 * n_units)
        self.gates = torch.nn.Linear(n_units, 2 * n_units, bias=False)
        self.candidate = torch.nn.Linear(n_units, n_units, bias=False)
        self.norm, self.dropout = torch.nn.LayerNorm(n_units), torch.nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        n = self.n_hidden
        hidden = x.new_zeros(len(x), n)
        membrane, fired = x.new_zeros(len(x), 3 * n), x.new_zeros(len(x), 3 * n)
        states = []
        for row in self.driven(x).unbind(1):
            left = BETA * membrane - THRESHOLD * fired
            gates = left[:, : 2 * n] + row[:, : 2 * n] + self.gates(hidden)
            z, r = arctan_spike(gates - THRESHOLD).split(n, 1)
            candidate = left[:, 2 * n :] + row[:, 2 * n :] + self.candidate((1 - r) * hidden)
            c = arctan_spike(candidate - THRESHOLD)
            membrane, fired = torch.cat([gates, candidate], 1), torch.cat([z, r, c], 1)
            hidden = hidden + z * (c - hidden)
            states.append(hidden)
        return self.dropout(self.norm(torch.stack(states, 1))) if states else x.new_zeros(len(x), 0, n)


class LayerNorm:
    """`torch.nn.LayerNorm` of one row."""

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self._gain, self._offset = weights["norm.weight"], weights["norm.bias"]

    def __call__(self, row: np.ndarray) -> np.ndarray:
        centred = row - row.mean()
        return centred / np.sqrt(np.mean(centred * centred) + 1e-5) * self._gain + self._offset


class NormalisedGruUnits(Units):
    """`NormalisedGru` for one keypoint at a time."""

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self._cell = GruCell({k.removeprefix("layer."): v for k, v in weights.items()})
        self._norm = LayerNorm(weights)

    def advance(self, keypoint: np.ndarray) -> np.ndarray:
        return self._norm(self._cell.advance(keypoint))


class SpikingGruUnits(Units):
    """`SpikingGru` for one keypoint at a time."""

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self._weights, self._norm = weights, LayerNorm(weights)
        n = weights["candidate.weight"].shape[0]
        self._hidden, self._membrane = np.zeros(n, np.float32), np.zeros(3 * n, np.float32)
        self._fired = np.zeros(3 * n, np.float32)

    def advance(self, keypoint: np.ndarray) -> np.ndarray:
        w, n = self._weights, len(self._hidden)
        membrane = BETA * self._membrane - THRESHOLD * self._fired + w["driven.weight"] @ keypoint + w["driven.bias"]
        membrane[: 2 * n] += w["gates.weight"] @ self._hidden
        z, r = (membrane[: 2 * n] > THRESHOLD).astype(np.float32).reshape(2, n)
        membrane[2 * n :] += w["candidate.weight"] @ ((1 - r) * self._hidden)
        c = (membrane[2 * n :] > THRESHOLD).astype(np.float32)
        self._membrane, self._fired = membrane, np.concatenate([z, r, c])
        self._hidden = self._hidden + z * (c - self._hidden)
        return self._norm(self._hidden)
