"""EEGNet-8,2: a few filters in time, two filters in space for each, and a separable convolution.

Lawhern et al. 2018, 10.1088/1741-2552/aace8c, table 2. Filters in time and in space are linear and commute, so here
the channels are mixed first: 16 maps are filtered instead of 8 times all channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from baselines.eeg_networks.decoder import WindowNetwork
from baselines.eeg_networks.numeric import Convolution, elu, log_softmax, plain
from harness import Recording, SessionInfo

POOLED_HZ = 32
"""The published rates: 128 Hz, after the first pooling 32 Hz, after the second 4 Hz."""
EPSILON = 1e-3
SPATIAL_NORM, READOUT_NORM = 1.0, 0.25


class Shape(NamedTuple):
    """Sizes of the network; the defaults are the published ones.

    kernel: Samples of a filter in time, half a second.
    pool: Samples that the first pooling takes together.
    n_temporal, n_spatial: Filters in time, and filters in space for each of them.
    separable: Samples of the separable convolution, after the first pooling.
    """

    n_channels: int
    n_samples: int
    n_classes: int
    kernel: int = 64
    pool: int = 4
    n_temporal: int = 8
    n_spatial: int = 2
    separable: int = 16
    second_pool: int = 8

    @property
    def n_maps(self) -> int:
        return self.n_temporal * self.n_spatial

    @property
    def n_pooled(self) -> int:
        """Samples after both poolings."""
        return self.n_samples // self.pool // self.second_pool


class EegNetStream:
    """`networks.EegNet` in NumPy for one run: mixed samples stay in a ring, the rest is done anew for each window."""

    def __init__(self, weights: Mapping[str, np.ndarray], shape: Shape):
        w = {name: np.asarray(array) for name, array in weights.items()}
        self.shape, self.spatial = shape, w["spatial"]
        gains, shifts = zip(*(plain(w, f"{name}_norm.", EPSILON) for name in ("first", "second", "third")), strict=True)
        per_map = np.repeat(gains[0], shape.n_spatial) * gains[1]
        kernels = np.repeat(w["temporal"], shape.n_spatial, axis=0) * per_map[:, None]
        self.temporal = Convolution(kernels, shape.n_samples)
        first_shift = np.repeat(shifts[0], shape.n_spatial) * w["spatial"].sum(axis=1)
        self.shift = (first_shift * gains[1] + shifts[1])[:, None]
        # Sums instead of means in the poolings: the division is in the weights that follow.
        self.depthwise = Convolution(w["depthwise"] / np.float32(shape.pool), shape.n_samples // shape.pool)
        self.pointwise, self.last_shift = w["pointwise"] * gains[2][:, None], shifts[2][:, None]
        self.readout, self.bias = w["readout.weight"] / np.float32(shape.second_pool), w["readout.bias"]

    def advance(self, samples: np.ndarray) -> np.ndarray:
        """(n_new, n_channels) -> (n_classes,) logarithms of probabilities for the window that ends now."""
        n, mixed = len(samples), self.temporal.maps
        mixed[:, :-n] = mixed[:, n:]
        mixed[:, -n:] = self.spatial @ samples.T
        self.depthwise.maps[:] = summed(elu(self.temporal.run() + self.shift), self.shape.pool)
        maps = summed(elu(self.pointwise @ self.depthwise.run() + self.last_shift), self.shape.second_pool)
        return log_softmax(self.readout @ maps.reshape(-1) + self.bias)


def summed(maps: np.ndarray, n: int) -> np.ndarray:
    """`networks.pooled` times n, in NumPy: (n_maps, n_samples) -> (n_maps, n_samples // n)."""
    n_pooled = maps.shape[1] // n
    return maps[:, : n_pooled * n].reshape(len(maps), n_pooled, n).sum(axis=2)


@dataclass
class EegNetDecoder(WindowNetwork):
    """EEGNet-8,2 on the last two seconds.

    across_dropout: Instead of `dropout` where several subjects are fitted together, as published.
    """

    epochs: int = 250
    across_dropout: float = 0.25

    def __post_init__(self) -> None:
        self._share = self.dropout

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        self._share = self.dropout if len({r.session.subject for r in train}) == 1 else self.across_dropout
        super().fit(train, validation)

    def shape(self, session: SessionInfo) -> Shape:
        n_channels, n_samples, rate_hz = self.sizes(session)
        pool = max(1, round(rate_hz / POOLED_HZ))
        return Shape(n_channels, n_samples, len(session.outputs), round(rate_hz / 2), pool)

    def build(self, session: SessionInfo) -> Any:
        from baselines.eeg_networks.networks import EegNet

        return EegNet(self.shape(session), self._share)

    def stream(self, session: SessionInfo) -> EegNetStream:
        return EegNetStream(self.weights(), self.shape(session))
