"""EEG Conformer: the convolutions of a ShallowConvNet make tokens, a transformer looks at all of a window.

Song et al. 2023, 10.1109/TNSRE.2022.3230250.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from baselines.eeg_networks.decoder import WindowNetwork
from baselines.eeg_networks.maps import MapsShape, MapsStream, shape_for
from baselines.eeg_networks.numeric import elu, gelu, layer_norm, log_softmax, softmax
from baselines.parts import part
from harness import SessionInfo

N_LAYERS, N_HEADS, EXPANSION = 6, 10, 4
HEAD_WIDTHS = (256, 32)
HEAD_DROPOUT = 0.3
"""Before the last layer; everywhere else it is the decoder's field."""


class ConformerStream:
    """`networks.Conformer` in NumPy for one run: the maps go on, the transformer sees each window anew."""

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

    def build(self, session: SessionInfo) -> Any:
        from baselines.eeg_networks.networks import Conformer

        return Conformer(self.shape(session), self.dropout)

    def stream(self, session: SessionInfo) -> ConformerStream:
        return ConformerStream(self.weights(), self.shape(session))
