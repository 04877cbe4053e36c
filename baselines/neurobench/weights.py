"""Weights of spiking layers: a first size that makes their inputs matter, and a grid that makes their sums exact."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from baselines.neurobench.scan import scan

EXCERPT_BINS = 4000
GRID_BITS = 12


def fit_to_inputs(weight: Any, counts: Sequence[np.ndarray], decays: np.ndarray, *, sd: float = 1.0) -> None:
    """Draw input weights (n, n_units) in place so that a unit that never spikes varies by `sd` around 0.

    A threshold of 1 is then passed now and then by every unit, whatever the bins' width and the units' rates (the
    idea of Rossbroich et al. 2022, 10.1088/2634-4386/ac97bb, measured on the recording instead of derived).
    """
    excerpt = np.concatenate([c[:EXCERPT_BINS] for c in counts])[:EXCERPT_BINS].astype(np.float32)
    mean, spread = excerpt.mean(axis=0), excerpt.std(axis=0)
    drawn = torch.randn(weight.shape).numpy() / np.maximum(spread, 0.1 * spread.max() + 1e-6)
    drawn -= np.outer(drawn @ mean, mean) / max(float(mean @ mean), 1e-12)
    with torch.no_grad():
        drive = torch.from_numpy((excerpt @ drawn.T)[None].astype(np.float32))
        membranes = scan(drive, torch.from_numpy(np.array(decays, np.float32)), threshold=np.inf)[1][0].numpy()
        scale = sd / np.maximum(membranes.std(axis=0), 1e-6)
        weight.copy_(torch.from_numpy((drawn * scale[:, None]).astype(np.float32)))


def on_grid(weight: Any, bits: int = GRID_BITS) -> None:
    """Round in place to multiples of 2^-bits.

    Sums of such weights times counts are then exact in float32, up to 2^(24 - bits), in whatever order they are
    taken: one bin and a whole recording give the same membranes, and so the same spikes.
    """
    with torch.no_grad():
        weight.copy_(torch.round(weight * 2**bits) / 2**bits)
