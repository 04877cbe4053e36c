"""The networks in PyTorch: loaded to learn. What streams is beside each decoder, in NumPy."""

import math
from typing import Any

import numpy as np
import torch
from scipy.fft import next_fast_len

from baselines.eeg_networks import conformer, eegnet, maps, shallow
from baselines.eeg_networks.trials import Trials


class Maps(torch.nn.Module):
    """(batch, n_channels, n_samples) -> (batch, n_maps, n_filtered), normalised over the batch."""

    def __init__(self, shape: maps.MapsShape):
        super().__init__()
        n = shape.n_maps
        self.temporal = torch.nn.Parameter(torch.nn.init.xavier_uniform_(torch.empty(n, shape.kernel)))
        self.temporal_bias = torch.nn.Parameter(torch.zeros(n))
        spatial = torch.nn.init.xavier_uniform_(torch.empty(n, n * shape.n_channels))
        self.spatial = torch.nn.Parameter(spatial.reshape(n, n, shape.n_channels))
        self.spatial_bias = torch.nn.Parameter(torch.zeros(n)) if shape.biased else None
        self.norm = torch.nn.BatchNorm1d(n, eps=maps.EPSILON)

    def forward(self, x: Any) -> Any:
        kernel = torch.einsum("ofc,fk->ock", self.spatial, self.temporal)
        bias = self.spatial.sum(2) @ self.temporal_bias
        if self.spatial_bias is not None:
            bias = bias + self.spatial_bias
        return self.norm(torch.nn.functional.conv1d(x, kernel, bias))


class EegNet(torch.nn.Module):
    """(batch, n_channels, n_samples) -> (batch, n_classes) scores.

    The first normalisation comes before a linear map that is normalised again, so that only its scale could matter.
    It uses the variance of the filters' outputs over all training windows, which follows from the autocorrelation of
    the signal (`measure`), and needs no outputs of all channels. Signals are taken to have no mean, as after the
    band-pass.
    """

    def __init__(self, shape: eegnet.Shape, dropout: float):
        super().__init__()
        n = shape.n_maps
        self.shape = shape
        self.temporal = drawn(shape.n_temporal, shape.kernel)
        self.first_norm = torch.nn.BatchNorm1d(shape.n_temporal, eps=eegnet.EPSILON)
        self.spatial = drawn(n, shape.n_channels)
        self.second_norm = torch.nn.BatchNorm1d(n, eps=eegnet.EPSILON)
        self.depthwise = drawn(n, shape.separable)
        self.pointwise = drawn(n, n)
        self.third_norm = torch.nn.BatchNorm1d(n, eps=eegnet.EPSILON)
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
        within_norm(self.spatial, eegnet.SPATIAL_NORM)
        within_norm(self.readout.weight, eegnet.READOUT_NORM)

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


class ShallowConvNet(torch.nn.Module):
    """(batch, n_channels, n_samples) -> (batch, n_classes) scores."""

    def __init__(self, shape: maps.MapsShape, dropout: float):
        super().__init__()
        self.shape, self.maps, self.dropout = shape, Maps(shape), torch.nn.Dropout(dropout)
        self.readout = torch.nn.Linear(shape.n_maps * shape.n_pooled, shape.n_classes)

    def measure(self, trials: Trials) -> None:
        """Nothing has to be known before training."""

    def constrain(self) -> None:
        """Max-norm constraints, as published."""
        within_norm(self.maps.temporal, shallow.FILTER_NORM)
        within_norm(self.maps.spatial, shallow.FILTER_NORM)
        within_norm(self.readout.weight, shallow.READOUT_NORM)

    def forward(self, x: Any) -> Any:
        power = torch.nn.functional.avg_pool1d(self.maps(x).square(), self.shape.pool, self.shape.stride)
        return self.readout(self.dropout(power.clamp(min=shallow.SMALLEST_POWER).log()).flatten(1))


class Layer(torch.nn.Module):
    """Attention and a perceptron, each after a normalisation and beside a direct path."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.attention_norm = torch.nn.LayerNorm(width)
        self.queries_keys_values = torch.nn.Linear(width, 3 * width)
        self.merge = torch.nn.Linear(width, width)
        self.perceptron_norm = torch.nn.LayerNorm(width)
        self.widen = torch.nn.Linear(width, conformer.EXPANSION * width)
        self.narrow = torch.nn.Linear(conformer.EXPANSION * width, width)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        x = x + self.dropout(self.merge(self._attended(self.attention_norm(x))))
        wide = self.dropout(torch.nn.functional.gelu(self.widen(self.perceptron_norm(x))))
        return x + self.dropout(self.narrow(wide))

    def _attended(self, x: Any) -> Any:
        """Scores are divided by the root of a token's width, not of a head's."""
        batch, n_tokens, width = x.shape
        split = self.queries_keys_values(x).reshape(batch, n_tokens, 3, conformer.N_HEADS, width // conformer.N_HEADS)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.transpose(-1, -2) / math.sqrt(width)).softmax(-1)
        return (self.dropout(weights) @ values).transpose(1, 2).reshape(batch, n_tokens, width)


class Conformer(torch.nn.Module):
    """(batch, n_channels, n_samples) -> (batch, n_classes) scores."""

    def __init__(self, shape: maps.MapsShape, dropout: float):
        super().__init__()
        n, (first, second) = shape.n_maps, conformer.HEAD_WIDTHS
        self.shape, self.maps, self.dropout = shape, Maps(shape), torch.nn.Dropout(dropout)
        self.project = torch.nn.Linear(n, n)
        self.layers = torch.nn.ModuleList(Layer(n, dropout) for _ in range(conformer.N_LAYERS))
        self.first, self.second = torch.nn.Linear(n * shape.n_pooled, first), torch.nn.Linear(first, second)
        self.readout = torch.nn.Linear(second, shape.n_classes)
        self.head_dropout = torch.nn.Dropout(min(dropout, conformer.HEAD_DROPOUT))

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


def within_norm(weight: Any, limit: float) -> None:
    """Shrink in place what is longer than `limit`; a unit's weights are weight[i]."""
    with torch.no_grad():
        weight.copy_(torch.renorm(weight, 2, 0, limit))
