"""What masked autoencoding hides from the encoder, and how its input is disturbed."""

from typing import Any

import numpy as np
import torch

MASKED_SHARE = 0.6
BLOCK_BINS = 10, 50
MOST_BLOCKS = 200
DROPPED_CHANNELS = 0.15
GAIN_RANGE = 0.85, 1.15
NOISE = 0.05


def masked_bins(n_windows: int, n_bins: int, rng: np.random.Generator) -> np.ndarray:
    """(n_windows, n_bins) bool: blocks of random length and place, until `MASKED_SHARE` of each window is covered.

    Blocks may overlap; the last one is cut short where it would cover too much.
    """
    return np.stack([_one_mask(n_bins, rng) for _ in range(n_windows)])


def _one_mask(n_bins: int, rng: np.random.Generator) -> np.ndarray:
    mask, wanted = np.zeros(n_bins, bool), round(MASKED_SHARE * n_bins)
    low, high = (min(length, n_bins) for length in BLOCK_BINS)
    for _ in range(MOST_BLOCKS):
        missing = wanted - int(mask.sum())
        if missing <= 0:
            break
        length = int(rng.integers(low, high + 1))
        start = int(rng.integers(n_bins - length + 1))
        free = np.flatnonzero(~mask[start : start + length])[:missing]
        mask[start + free] = True
    return mask


def disturbed(values: Any) -> Any:
    """(batch, n_bins, n_channels) with channels dropped and amplified, and noise; drawn from torch's generator."""
    per_channel = values.shape[0], 1, values.shape[2]
    kept = torch.rand(per_channel, device=values.device) >= DROPPED_CHANNELS
    low, high = GAIN_RANGE
    gain = low + (high - low) * torch.rand(per_channel, device=values.device)
    return values * kept * gain + NOISE * torch.randn_like(values)
