"""Modules shaped as braindecode's are, adapted."""

import torch

from harness import from_torch


class Convolutional(torch.nn.Module):
    """(batch, n_channels, n_samples) -> (batch, n_outputs)."""

    def __init__(self, n_channels, n_samples, n_outputs):
        super().__init__()
        self.filters = torch.nn.Conv1d(n_channels, 4, 5, padding=2)
        self.norm = torch.nn.BatchNorm1d(4)
        self.head = torch.nn.Linear(4 * n_samples, n_outputs)

    def forward(self, x):
        return self.head(torch.nn.functional.elu(self.norm(self.filters(x))).flatten(1))


def dense(n_channels, n_samples, n_outputs):
    """(batch, n_outputs, n_times): an answer at every time."""
    return torch.nn.Sequential(torch.nn.Conv1d(n_channels, n_outputs, n_samples - 3), torch.nn.LogSoftmax(1))


class Windowed(from_torch(Convolutional, window_bins=20, band_hz=(1, 40))):
    """Classification."""


class Dense(from_torch(dense, window_bins=20)):
    """Classification, of which the last time counts."""


class WindowedRates(from_torch(Convolutional, window_bins=10, stream="spikes")):
    """Regression."""
