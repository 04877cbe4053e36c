"""Sizes and training lengths of the cross-modal networks, and the presets that name them."""

from dataclasses import dataclass
from typing import Literal

from harness import HarnessError

Signal = Literal["spikes", "lfp"]
MOST_COUNT = 5
"""Counts above it are read as it: a unit hardly fires more often in 10 ms."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the networks.

    width, n_layers, n_heads: Of the encoders of spikes and of LFP alike.
    ratio: Inner width of the gated perceptron over `width`.
    spike_patch, lfp_patch: Channels that share a token.
    taps, dilation_bins: Of the causal convolution that makes tokens of LFP.
    predictor_width, predictor_layers: Of the network that fills in what was masked; it is not needed afterwards.
    predictor_reach_bins: How far it looks for latents, before and after; None: over the whole window, as published.
    locality: How strongly heads attend to near bins before training, the first head not at all; 0: none, as published.
    count_scale: Of the vectors of spike counts before training.
    """

    width: int
    n_layers: int
    n_heads: int
    predictor_width: int
    predictor_layers: int
    ratio: int = 4
    spike_patch: int = 64
    lfp_patch: int = 32
    taps: int = 5
    dilation_bins: int = 2
    dropout: float = 0.1
    predictor_reach_bins: int | None = None
    locality: float = 0.0
    count_scale: float = 1.0

    def patch(self, signal: Signal) -> int:
        """Channels of a token."""
        return self.spike_patch if signal == "spikes" else self.lfp_patch

    def n_patches(self, signal: Signal, n_channels: int) -> int:
        """Tokens of a bin; the last one may be padded."""
        return -(-n_channels // self.patch(signal))


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network is trained; its length is counted in updates.

    updates: Of the optimiser; fewer where `most_epochs` passes over the material take fewer.
    learning_rate: Peak: a linear rise from 0.3 of it over a tenth of the updates, then a geometric fall.
    final_share: Learning rate at the end over the peak; the published 0.995 per epoch makes 0.16 of it in 370 epochs.
    check_every: Updates between two looks at the held-out loss. patience: Looks without a better one before it stops.
    """

    updates: int
    batch_size: int = 8
    learning_rate: float = 2e-3
    final_share: float = 0.05
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    check_every: int = 25
    patience: int = 6
    most_epochs: int = 400


@dataclass(frozen=True)
class Preset:
    """Networks, windows, and the length of each stage.

    window_s: What the networks with full attention see at once, in training and afterwards.
    context_s: How far back a layer of the causal student looks; its training windows hold two contexts.
    pretraining: Masked autoencoding over all pretraining sessions. tuning: The same on a session's own material.
    distillation: Of the student on one session, or on its labels. many: Of the student over all pretraining sessions.
    cosine_weight, supervised_cosine_weight: Of the alignment with the teacher, beside an aim of LFP and beside one of
        behaviour. Published as 5; a short training on behaviour does better with less.
    on_gpu: Whether training uses a GPU that is at hand; small networks are not worth the copies.
    """

    shape: Shape
    window_s: float
    context_s: float
    pretraining: Schedule
    tuning: Schedule
    distillation: Schedule
    many: Schedule
    cosine_weight: float = 5.0
    supervised_cosine_weight: float = 5.0
    on_gpu: bool = False


PUBLISHED = Schedule(20_000, 32, 6.25e-4, final_share=0.16, check_every=100, patience=50)
PRESETS = {
    "paper": Preset(
        Shape(256, 10, 8, predictor_width=192, predictor_layers=4),
        window_s=5.0,
        context_s=1.0,
        pretraining=Schedule(40_000, 64, 6.25e-4, final_share=0.06, check_every=100, patience=50, most_epochs=600),
        tuning=PUBLISHED,
        distillation=PUBLISHED,
        many=PUBLISHED,
        on_gpu=True,
    ),
    "small": Preset(
        Shape(
            96,
            2,
            4,
            predictor_width=48,
            predictor_layers=1,
            spike_patch=96,
            lfp_patch=96,
            predictor_reach_bins=3,
            locality=6.0,
            count_scale=0.1,
        ),
        window_s=1.0,
        context_s=0.5,
        pretraining=Schedule(1500, 16, learning_rate=1e-3, check_every=50, patience=10, most_epochs=40),
        tuning=Schedule(60, learning_rate=1e-3, most_epochs=10),
        distillation=Schedule(150, learning_rate=3e-3, most_epochs=40),
        many=Schedule(800, learning_rate=3e-3, check_every=50, most_epochs=40),
        supervised_cosine_weight=1.0,
    ),
    "tiny": Preset(
        Shape(16, 1, 2, predictor_width=8, predictor_layers=1, spike_patch=8, lfp_patch=4),
        window_s=0.5,
        context_s=0.2,
        pretraining=Schedule(20, check_every=5),
        tuning=Schedule(5, check_every=5),
        distillation=Schedule(20, check_every=5),
        many=Schedule(20, check_every=5),
        supervised_cosine_weight=1.0,
    ),
}


def preset_named(name: str) -> Preset:
    """Look a preset up.

    Raises:
        HarnessError: If there is none of this name.
    """
    if name not in PRESETS:
        raise HarnessError(f"unknown preset {name!r} of a cross-modal decoder; known: {', '.join(PRESETS)}")
    return PRESETS[name]
