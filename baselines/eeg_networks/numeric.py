"""Small parts of the networks in NumPy, as a step needs them."""

from collections.abc import Mapping

import numpy as np
from scipy.special import erf

ROOT_HALF = np.float32(np.sqrt(0.5))


def plain(weights: Mapping[str, np.ndarray], name: str, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """A batch normalisation at inference as gain and shift, (n_maps,) each."""
    mean, variance = weights[name + "running_mean"], weights[name + "running_var"]
    gain = weights[name + "weight"] / np.sqrt(variance + np.float32(epsilon))
    return gain, weights[name + "bias"] - gain * mean


class Convolution:
    """Each map with its kernel, zeros around; of an even number of taps one more lies after a sample than before.

    Args:
        kernels: (n_maps, n_taps) float32.
        n_samples: Length of a map, before as after.
    """

    def __init__(self, kernels: np.ndarray, n_samples: int):
        n_maps, n_taps = kernels.shape
        before = (n_taps - 1) // 2
        padded = np.zeros((n_maps, n_samples + n_taps - 1), np.float32)
        self.maps = padded[:, before : before + n_samples]
        self._windows = np.lib.stride_tricks.sliding_window_view(padded, n_taps, axis=1)
        self._kernels = kernels[:, None]

    def run(self) -> np.ndarray:
        """What is in `maps`, filtered: (n_maps, n_samples)."""
        return np.vecdot(self._windows, self._kernels)


def elu(x: np.ndarray) -> np.ndarray:
    """x where it is positive, elsewhere exp(x) - 1."""
    return np.maximum(x, 0) + np.expm1(np.minimum(x, 0))


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution function of x."""
    return x * (0.5 + 0.5 * erf(x * ROOT_HALF))


def layer_norm(rows: np.ndarray, weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """`torch.nn.LayerNorm` of (n_rows, width)."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    variance = np.vecdot(centred, centred)[:, None] / rows.shape[1]
    return centred / np.sqrt(variance + 1e-5) * weights[name + "weight"] + weights[name + "bias"]


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """(n_classes,) scores -> logarithms of probabilities."""
    shifted = scores - scores.max()
    return shifted - np.log(np.exp(shifted).sum())
