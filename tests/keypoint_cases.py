"""Sessions, recordings and untrained decoders for the tests of the networks of keypoints."""

import numpy as np

from baselines.hybrid_snn.quantise import round_in_place
from baselines.hybrid_snn.training import put_on_grid, scale_to
from harness import Inputs, Recording, SessionInfo, StreamInfo

SMALL = {"n_channels": 6, "n_units": 7}
QUICK = {**SMALL, "updates": 12, "pretrain_updates": 12, "adapt_updates": 4, "window_keypoints": 40}


def session(n_units=5, *, bin_s=0.004, id="a", subject="s", outputs=("x", "y")):
    return SessionInfo(id, subject, {"spikes": StreamInfo(n_units)}, bin_s, outputs)


def drawn(decoder, about, *, n_bins=400):
    """A decoder with first weights and a scale, as after `fit`, and counts to try it on."""
    n_units = about.streams["spikes"].n_channels
    counts = np.random.default_rng(0).poisson(0.6, (n_bins, n_units)).astype(np.float32)
    decoder.offset_, decoder.sd_ = np.zeros(2, np.float32), np.ones(2, np.float32)
    decoder.start(about)
    scale_to(decoder.network, decoder.coded(counts))
    if decoder.terms().quantised:
        round_in_place(decoder.network)
        put_on_grid(decoder.network)
    return decoder, counts


def recording(n_bins=300, *, seed=0, **about):
    """Counts that follow a slow two-dimensional movement."""
    info, rng = session(**about), np.random.default_rng(seed)
    steps = np.arange(n_bins)[:, None] * [0.05, 0.083]
    movement = np.sin(steps + rng.uniform(0, 6, 2))
    tuning = np.random.default_rng(7).normal(0, 1, (2, info.streams["spikes"].n_channels))
    counts = rng.poisson(np.exp(movement @ tuning - 0.5)).astype(np.float32)
    starts = np.arange(n_bins) == 0
    inputs = Inputs({"spikes": counts}, starts, info.bin_s)
    return Recording(info, inputs, (10 * movement).astype(np.float32), np.ones(n_bins, bool))
