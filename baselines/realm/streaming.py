"""The causal encoder, one bin at a time in NumPy: the same work for every bin, and a fixed memory."""

from collections.abc import Mapping

import numpy as np
from scipy.special import erf, expit

from baselines.mamba2 import EPSILON, Mamba2Stream
from baselines.parts import part
from baselines.realm.shape import ATTENTION_TAPS, CONVOLUTION_TAPS, EncoderShape

ROOT_HALF = np.float32(np.sqrt(0.5))


class TokenizerStream:
    """`baselines.realm.tokenizer.Tokenizer` for one session."""

    def __init__(self, weights: Mapping[str, np.ndarray], shape: EncoderShape, present: np.ndarray):
        self.weights, self.present = weights, present.astype(np.float32)[:, None]
        self.kernel = np.ascontiguousarray(weights["convolution.weight"][:, 0].T)
        self.past = np.zeros((CONVOLUTION_TAPS, shape.n_channels), np.float32)
        self.total, self.n_seen = np.zeros(shape.n_channels), 0
        self.padded = np.zeros(shape.n_channels + ATTENTION_TAPS - 1, np.float32)
        self.neighbours = np.arange(shape.n_channels)[:, None] + np.arange(ATTENTION_TAPS)

    def advance(self, row: np.ndarray) -> np.ndarray:
        """(n_channels,) standardised voltages -> (width,)."""
        w = self.weights
        self.past[:-1] = self.past[1:]
        self.past[-1] = row
        features = gelu(self.past.T @ self.kernel + w["convolution.bias"]) * self.present
        features *= self._attention(features.mean(axis=1))[:, None]
        return layer_norm(np.vecdot(w["merge.weight"], features.reshape(-1)) + w["merge.bias"], part(w, "norm."))

    def _attention(self, loudness: np.ndarray) -> np.ndarray:
        # Sum and count in float64: exact enough after years of bins.
        self.total += loudness
        self.n_seen += 1
        margin = ATTENTION_TAPS // 2
        self.padded[margin:-margin] = self.total / self.n_seen
        return expit(self.padded[self.neighbours] @ self.weights["attention.weight"][0, 0])


class EncoderStream:
    """`baselines.realm.encoder.Encoder`, if it looks into the past alone."""

    def __init__(self, weights: Mapping[str, np.ndarray], shape: EncoderShape, present: np.ndarray):
        backbone = part(weights, "backbone.")
        layers = [part(backbone, f"layers.{i}.") for i in range(shape.n_layers)]
        self.tokenizer = TokenizerStream(part(weights, "tokenizer."), shape, present)
        self.norms = [part(layer, "norm.") for layer in layers]
        self.mixers = [Mamba2Stream(part(layer, "mixer."), shape.block()) for layer in layers]
        self.last_norm = part(backbone, "norm.")

    def advance(self, row: np.ndarray) -> np.ndarray:
        """(n_channels,) standardised voltages -> (width,) embedding."""
        row = self.tokenizer.advance(row)
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            row = row + mixer.advance(layer_norm(row, norm))
        return layer_norm(row, self.last_norm)


def layer_norm(row: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """`torch.nn.LayerNorm` of one row."""
    centred = row - row.mean()
    return centred / np.sqrt(centred @ centred / len(row) + EPSILON) * weights["weight"] + weights["bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution function of x."""
    return x * (0.5 + 0.5 * erf(x * ROOT_HALF))
