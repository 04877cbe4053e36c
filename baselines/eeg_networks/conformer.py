"""EEG Conformer: the convolutions of a ShallowConvNet make tokens, a transformer looks at all of a window.

Song et al. 2023, 10.1109/TNSRE.2022.3230250.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.eeg_networks.decoder import WindowNetwork
from baselines.eeg_networks.maps import Maps, MapsShape, MapsStream, shape_for
from baselines.eeg_networks.numeric import elu, gelu, layer_norm, log_softmax, softmax
from baselines.eeg_networks.trials import Trials
from baselines.parts import part
from harness import SessionInfo

N_LAYERS, N_HEADS, EXPANSION = 6, 10, 4
HEAD_WIDTHS = (256, 32)
HEAD_DROPOUT = 0.3
"""Before the last layer; everywhere else it is the decoder's field."""


class Layer(torch.nn.Module):
    """Attention and a perceptron, each after a normalisation and beside a direct path."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.attention_norm = torch.nn.LayerNorm(width)
        self.queries_keys_values = torch.nn.Linear(width, 3 * width)
        self.merge = torch.nn.Linear(width, width)
        self.perceptron_norm = torch.nn.LayerNorm(width)
        self.widen = torch.nn.Linear(width, EXPANSION * width)
        self.narrow = torch.nn.Linear(EXPANSION * width, width)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        x = x + self.dropout(self.merge(self._attended(self.attention_norm(x))))
        wide = self.dropout(torch.nn.functional.gelu(self.widen(self.perceptron_norm(x))))
        return x + self.dropout(self.narrow(wide))

    def _attended(self, x: Any) -> Any:
        """Scores are divided by the root of a token's width, not of a head's."""
        batch, n_tokens, width = x.shape
        split = self.queries_keys_values(x).reshape(batch, n_tokens, 3, N_HEADS, width // N_HEADS)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.transpose(-1, -2) / math.sqrt(width)).softmax(-1)
        return (self.dropout(weights) @ values).transpose(1, 2).reshape(batch, n_tokens, width)


class Conformer(torch.nn.Module):
    """(batch, n_channels, n_samples) -> (batch, n_classes) scores."""

    def __init__(self, shape: MapsShape, dropout: float):
        super().__init__()
        n, (first, second) = shape.n_maps, HEAD_WIDTHS
        self.shape, self.maps, self.dropout = shape, Maps(shape), torch.nn.Dropout(dropout)
        self.project = torch.nn.Linear(n, n)
        self.layers = torch.nn.ModuleList(Layer(n, dropout) for _ in range(N_LAYERS))
        self.first, self.second = torch.nn.Linear(n * shape.n_pooled, first), torch.nn.Linear(first, second)
        self.readout = torch.nn.Linear(second, shape.n_classes)
        self.head_dropout = torch.nn.Dropout(min(dropout, HEAD_DROPOUT))

    def measure(self, trials: Trials) -> None:
        """Nothing has to be known before training."""

    def constrain(self) -> None:
        """There is no constraint."""

    def forward(self, x: Any) -> Any:
        elu_of = torch.nn.functional.elu
        maps = torch.nn.functional.avg_pool1d(elu_of(self.maps(x)), self.shape.pool, self.shape.stride)
        tokens = self.project(self.dropout(maps).transpose(1, 2))
        for layer in self.layers:
            tokens = layer(tokens)
        hidden = self.dropout(elu_of(self.first(tokens.flatten(1))))
        return self.readout(self.head_dropout(elu_of(self.second(hidden))))


class ConformerStream:
    """`Conformer` in NumPy for one run: the maps go on, the transformer sees each window anew."""

    def __init__(self, weights: Mapping[str, np.ndarray], shape: MapsShape):
        w = {name: np.asarray(array) for name, array in weights.items()}
        self.maps, self.weights = MapsStream(part(w, "maps."), shape, elu), w
        self.project = w["project.weight"].T / np.float32(shape.pool)
        self.layers = [part(w, f"layers.{i}.") for i in range(N_LAYERS)]

    def advance(self, samples: np.ndarray) -> np.ndarray:
        """(n_new, n_channels) -> (n_classes,) logarithms of probabilities for the window that ends now."""
        w = self.weights
        tokens = self.maps.advance(samples).T @ self.project + w["project.bias"]
        for layer in self.layers:
            tokens = tokens + _linear(_attended(layer_norm(tokens, layer, "attention_norm."), layer), layer, "merge.")
            wide = gelu(_linear(layer_norm(tokens, layer, "perceptron_norm."), layer, "widen."))
            tokens = tokens + _linear(wide, layer, "narrow.")
        hidden = elu(np.vecdot(w["first.weight"], tokens.reshape(-1)) + w["first.bias"])
        hidden = elu(w["second.weight"] @ hidden + w["second.bias"])
        return log_softmax(w["readout.weight"] @ hidden + w["readout.bias"])


def _linear(rows: np.ndarray, weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return rows @ weights[name + "weight"].T + weights[name + "bias"]


def _attended(rows: np.ndarray, layer: Mapping[str, np.ndarray]) -> np.ndarray:
    """(n_tokens, width) -> the same."""
    n_tokens, width = rows.shape
    split = _linear(rows, layer, "queries_keys_values.").reshape(n_tokens, 3, N_HEADS, width // N_HEADS)
    queries, keys, values = split.transpose(1, 2, 0, 3)
    weights = softmax(queries @ keys.swapaxes(1, 2) * np.float32(1 / math.sqrt(width)))
    return (weights @ values).swapaxes(0, 1).reshape(n_tokens, width)


@dataclass
class ConformerDecoder(WindowNetwork):
    """EEG Conformer on the last two seconds."""

    updates: int = 400
    epochs: int = 60
    learning_rate: float = 1e-3

    def shape(self, session: SessionInfo) -> MapsShape:
        return shape_for(self.sizes(session), len(session.outputs), biased=True)

    def build(self, session: SessionInfo) -> Conformer:
        return Conformer(self.shape(session), self.dropout)

    def stream(self, session: SessionInfo) -> ConformerStream:
        return ConformerStream(self.weights(), self.shape(session))
