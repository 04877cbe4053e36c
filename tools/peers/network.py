"""The networks and inputs whose operations both sides count; PyTorch and NumPy alone."""

import numpy as np
import torch
from torch import Tensor, nn

SEED, N_CHANNELS = 2025, 96
N_STREAMED = 5000
"""Bins that are streamed through a layer, the first ones of the recording."""
N_SAMPLES, BATCH, N_BINS = 2048, 256, 256


def reaching() -> nn.Sequential:
    """96 -> 32 -> 48 -> 2 with ReLU: the shape of NeuroBench's first baseline for primate reaching."""
    return _drawn(nn.Sequential(nn.Linear(96, 32), nn.ReLU(), nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 2)))


def wide() -> nn.Sequential:
    """96 -> 1024 -> 1024 -> 2 with ReLU, where arithmetic and not bookkeeping takes the time."""
    return _drawn(nn.Sequential(nn.Linear(96, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 2)))


def linear(decoder: np.ndarray) -> nn.Sequential:
    """The linear decoder of the streamed recording as a network.

    decoder: (n_channels, n_outputs) float32.
    """
    layer = nn.Linear(*decoder.shape, bias=False)
    layer.weight.data = torch.from_numpy(decoder.T.copy())
    return nn.Sequential(layer).eval()


def counts() -> Tensor:
    """(N_SAMPLES, N_CHANNELS) spike counts, as float32."""
    return torch.from_numpy(np.random.default_rng(SEED).poisson(0.1, (N_SAMPLES, N_CHANNELS))).float()


def _drawn(network: nn.Sequential) -> nn.Sequential:
    rng = np.random.default_rng(SEED)
    for parameter in network.parameters():
        parameter.data = torch.from_numpy(rng.normal(0, 0.1, parameter.shape)).float()
    return network.eval()
