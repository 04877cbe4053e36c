"""The front that ShallowConvNet and EEG Conformer share: filters in time, then in space, with nothing between them.

Two linear maps in a row are one, so both compute a single convolution over time and channels. It has no padding, so
what was computed for a sample stays right, and a bin costs its new samples only.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from baselines.eeg_networks.numeric import plain
from harness import HarnessError

EPSILON = 1e-5
PUBLISHED_HZ = 250
"""Both papers give their sizes in samples at this rate."""


class MapsShape(NamedTuple):
    """Sizes of the front; the defaults are the published ones, at 250 Hz.

    kernel: Samples of a filter in time, 0.1 s.
    pool, stride: Samples that a pooling takes together, and from one to the next: 0.3 s and 0.06 s.
    n_maps: Filters in time, and filters in space.
    biased: Whether the filters in space have a bias.
    """

    n_channels: int
    n_samples: int
    n_classes: int
    kernel: int = 25
    pool: int = 75
    stride: int = 15
    n_maps: int = 40
    biased: bool = False

    @property
    def n_filtered(self) -> int:
        """Samples of a map."""
        return self.n_samples - self.kernel + 1

    @property
    def n_pooled(self) -> int:
        return (self.n_filtered - self.pool) // self.stride + 1


def shape_for(sizes: tuple[int, int, float], n_classes: int, *, biased: bool) -> MapsShape:
    """The shape that lasts as long as the published one, at any rate.

    sizes: Channels, samples in a window, rate in Hz.

    Raises:
        HarnessError: If the window is too short for one pooling.
    """
    n_channels, n_samples, rate_hz = sizes
    kernel, pool, stride = (max(1, round(n * rate_hz / PUBLISHED_HZ)) for n in (25, 75, 15))
    if n_samples < kernel + pool - 1:
        raise HarnessError(
            f"a window of {n_samples} samples is shorter than the {kernel + pool - 1} of filter and pooling; "
            f"set window_s to at least {(kernel + pool - 1) / rate_hz:.2f}"
        )
    return MapsShape(n_channels, n_samples, n_classes, kernel, pool, stride, biased=biased)


class MapsStream:
    """`networks.Maps` in NumPy for one run, an activation, and sums over the poolings of the window that ends now.

    Args:
        weights: Of `Maps`, by name.
        activation: What is done to the maps before they are summed.
    """

    def __init__(
        self, weights: Mapping[str, np.ndarray], shape: MapsShape, activation: Callable[[np.ndarray], np.ndarray]
    ):
        w = {name: np.asarray(array) for name, array in weights.items()}
        gain, shift = plain(w, "norm.", EPSILON)
        kernel = np.einsum("ofc,fk->okc", w["spatial"], w["temporal"]) * gain[:, None, None]
        bias = w["spatial"].sum(axis=2) @ w["temporal_bias"]
        if shape.biased:
            bias = bias + w["spatial_bias"]
        self.weights = np.ascontiguousarray(kernel.reshape(shape.n_maps, -1))
        self.bias, self.activation, self.kernel = (gain * bias + shift)[:, None], activation, shape.kernel
        self.recent = np.zeros((shape.kernel - 1, shape.n_channels), np.float32)
        # Zeros before the run give maps of the bias alone.
        self.maps = np.zeros((shape.n_maps, shape.n_filtered), np.float32) + activation(self.bias)
        views = np.lib.stride_tricks.sliding_window_view(self.maps, shape.pool, axis=1)
        self.pools = views[:, :: shape.stride]

    def advance(self, samples: np.ndarray) -> np.ndarray:
        """(n_new, n_channels) float32 -> (n_maps, n_pooled) sums."""
        n = len(samples)
        stretch = np.concatenate([self.recent, samples])
        self.recent = stretch[n:].copy()
        windows = np.stack([stretch[k : k + self.kernel].reshape(-1) for k in range(n)])
        self.maps[:, :-n] = self.maps[:, n:]
        self.maps[:, -n:] = self.activation(self.weights @ windows.T + self.bias)
        return self.pools.sum(axis=2)
