"""EEGNet-8,2: a few filters in time, two filters in space for each, and a separable convolution.

Lawhern et al. 2018, 10.1088/1741-2552/aace8c, table 2. Filters in time and in space are linear and commute, so here
the channels are mixed first: 16 maps are filtered instead of 8 times all channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.fft import next_fast_len

from baselines.eeg_networks.decoder import WindowNetwork
from baselines.eeg_networks.numeric import Convolution, elu, log_softmax, plain, within_norm
from baselines.eeg_networks.trials import Trials
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


class EegNet(torch.nn.Module):
    """(batch, n_channels, n_samples) -> (batch, n_classes) scores.

    The first normalisation comes before a linear map that is normalised again, so that only its scale could matter.
    It uses the variance of the filters' outputs over all training windows, which follows from the autocorrelation of
    the signal (`measure`), and needs no outputs of all channels. Signals are taken to have no mean, as after the
    band-pass.
    """

    def __init__(self, shape: Shape, dropout: float):
        super().__init__()
        n = shape.n_maps
        self.shape = shape
        self.temporal = drawn(shape.n_temporal, shape.kernel)
        self.first_norm = torch.nn.BatchNorm1d(shape.n_temporal, eps=EPSILON)
        self.spatial = drawn(n, shape.n_channels)
        self.second_norm = torch.nn.BatchNorm1d(n, eps=EPSILON)
        self.depthwise = drawn(n, shape.separable)
        self.pointwise = drawn(n, n)
        self.third_norm = torch.nn.BatchNorm1d(n, eps=EPSILON)
        self.dropout = torch.nn.Dropout(dropout)
        self.readout = torch.nn.Linear(n * shape.n_pooled, shape.n_classes)
        self.register_buffer("correlation", torch.eye(shape.kernel), persistent=False)

    def measure(self, trials: Trials) -> None:
        """Learn the autocorrelation of training signals, on which the first normalisation rests."""
        signals = trials.signals.reshape(-1, trials.signals.shape[-1])
        power = np.zeros(signals.shape[1] + self.shape.kernel)
        spectrum = sum(np.square(np.abs(np.fft.rfft(row, len(power)))) for row in signals)
        lags = np.fft.irfft(spectrum, len(power))[: self.shape.kernel] / max(1, signals.size)
        apart = np.abs(np.subtract.outer(np.arange(self.shape.kernel), np.arange(self.shape.kernel)))
        self.correlation = torch.from_numpy(lags[apart].astype(np.float32))

    def constrain(self) -> None:
        """Max-norm constraints, as published."""
        within_norm(self.spatial, SPATIAL_NORM)
        within_norm(self.readout.weight, READOUT_NORM)

    def forward(self, x: Any) -> Any:
        s, (kernels, shift) = self.shape, self._normalised()
        maps = each_filtered(self.spatial @ x, kernels) + shift[:, None]
        maps = self.dropout(pooled(torch.nn.functional.elu(self.second_norm(maps)), s.pool))
        maps = self.third_norm(self.pointwise @ each_filtered(maps, self.depthwise))
        maps = torch.nn.functional.elu(maps)
        return self.readout(self.dropout(pooled(maps, s.second_pool)).flatten(1))

    def _normalised(self) -> tuple[Any, Any]:
        """Kernels in time, (n_maps, kernel), and what the normalisation adds to each map, (n_maps,)."""
        norm = self.first_norm
        variance = norm.running_var
        if self.training:
            variance = ((self.temporal @ self.correlation) * self.temporal).sum(1)
            norm.running_var.copy_(variance.detach())
        gain = norm.weight * torch.rsqrt(variance + norm.eps)
        repeats = self.shape.n_spatial
        shift = (norm.bias - gain * norm.running_mean).repeat_interleave(repeats) * self.spatial.sum(1)
        return (gain[:, None] * self.temporal).repeat_interleave(repeats, 0), shift


class EegNetStream:
    """`EegNet` in NumPy for one run: mixed samples stay in a ring, the rest is done anew for each window."""

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


def drawn(n_rows: int, n_columns: int) -> torch.nn.Parameter:
    """Weights from Glorot's uniform distribution."""
    return torch.nn.Parameter(torch.nn.init.xavier_uniform_(torch.empty(n_rows, n_columns)))


def each_filtered(maps: Any, kernels: Any) -> Any:
    """Each map with its kernel, as many samples as before: (batch, n_maps, n_samples), (n_maps, n_taps).

    Through spectra: with so long kernels an update takes half as long as with PyTorch's convolution by groups.
    """
    n_samples, n_taps = maps.shape[-1], kernels.shape[-1]
    n = next_fast_len(n_samples + n_taps - 1, real=True)
    products = torch.fft.rfft(maps, n) * torch.fft.rfft(kernels, n).conj()
    return torch.fft.irfft(products, n).roll((n_taps - 1) // 2, -1)[..., :n_samples]


def pooled(maps: Any, n: int) -> Any:
    """Means of n samples after the other; what is left over is dropped."""
    return torch.nn.functional.avg_pool1d(maps, n)


def summed(maps: np.ndarray, n: int) -> np.ndarray:
    """`pooled` times n, in NumPy: (n_maps, n_samples) -> (n_maps, n_samples // n)."""
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

    def build(self, session: SessionInfo) -> EegNet:
        return EegNet(self.shape(session), self._share)

    def stream(self, session: SessionInfo) -> EegNetStream:
        return EegNetStream(self.weights(), self.shape(session))
