"""Sizes of the encoders, how long each stage trains, and the presets that fix both."""

from dataclasses import dataclass

from baselines.mamba2 import Mamba2Shape
from baselines.pretraining import Recipe
from harness import HarnessError
from harness.torch_decoder import Schedule

CONVOLUTION_TAPS = 3
ATTENTION_TAPS = 5


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of one encoder.

    n_channels: Columns of the input; sessions with fewer are padded, and a mask says so.
    width: Values per bin in the backbone.
    expand, head, state: As in `baselines.mamba2.Mamba2Shape`.
    channel_features: Values per channel in the tokenizer.
    both_ways: Whether it looks into the future: a block for each direction of time, and attention over all of it.
    drop_path: Share of windows in which the last layer is skipped in training; earlier layers less, in proportion.
    """

    width: int
    n_layers: int
    expand: int
    both_ways: bool
    n_channels: int = 96
    head: int = 64
    state: int = 64
    channel_features: int = 8
    dropout: float = 0.1
    drop_path: float = 0.0

    def block(self, expand: int | None = None) -> Mamba2Shape:
        """One Mamba-2 block of this encoder, or one of another expansion."""
        return Mamba2Shape(
            self.width,
            expand=expand or self.expand,
            head=self.head,
            state=self.state,
            dt_on_write=False,
            rope=True,
            gated_norm=False,
        )


@dataclass(frozen=True)
class Preset:
    """Everything that grows with the machine.

    window_bins: Of a training window in pretraining.
    tuning, scratch: Supervised training on one session's labels, from a pretrained network and from nothing.
    tunes_tokenizer: Whether fine-tuning trains the tokenizer too; published: it stays as pretraining left it.
    """

    teacher: EncoderShape
    student: EncoderShape
    student_both_ways: EncoderShape
    window_bins: int
    masking: Recipe
    distilling: Recipe
    tuning: Schedule
    scratch: Schedule
    tunes_tokenizer: bool = False


SMALL = {"width": 96, "head": 48, "state": 16, "channel_features": 4}
TINY = {"width": 16, "head": 8, "state": 8, "channel_features": 2, "n_channels": 8}

PRESETS = {
    "paper": Preset(
        teacher=EncoderShape(256, 10, 2, True, drop_path=0.1),
        student=EncoderShape(256, 10, 2, False),
        student_both_ways=EncoderShape(256, 8, 1, True),
        window_bins=500,
        # Published: 384 windows on 16 GPUs at 1.53e-3; the rate goes with the square root of the batch.
        masking=Recipe(10**6, 300, 64, 6.25e-4, 0.1, "geometric", 0.26, 250, 30),
        distilling=Recipe(10**6, 300, 32, 5e-4, 0.0, "cosine", 0.01, 250, 30),
        tuning=Schedule(500, 0, 32, updates=600, learning_rate=5e-4, weight_decay=1e-5),
        scratch=Schedule(500, 0, 32, updates=600, learning_rate=5e-4, weight_decay=1e-5),
    ),
    "small": Preset(
        teacher=EncoderShape(n_layers=2, expand=1, both_ways=True, drop_path=0.1, **SMALL),
        student=EncoderShape(n_layers=2, expand=1, both_ways=False, **SMALL),
        student_both_ways=EncoderShape(n_layers=2, expand=1, both_ways=True, **SMALL),
        window_bins=125,
        masking=Recipe(1000, 60, 8, 3e-3, 0.1, "cosine", 0.05, 200, 6),
        distilling=Recipe(1500, 60, 8, 3e-3, 0.05, "cosine", 0.01, 300, 6),
        # The same for both, so that what differs is the pretraining.
        tuning=Schedule(250, 0, 8, updates=160, learning_rate=8e-3, weight_decay=1e-2),
        scratch=Schedule(250, 0, 8, updates=160, learning_rate=8e-3, weight_decay=1e-2),
        tunes_tokenizer=True,
    ),
    "tiny": Preset(
        teacher=EncoderShape(n_layers=2, expand=2, both_ways=True, drop_path=0.1, **TINY),
        student=EncoderShape(n_layers=2, expand=2, both_ways=False, **TINY),
        student_both_ways=EncoderShape(n_layers=2, expand=1, both_ways=True, **TINY),
        window_bins=60,
        masking=Recipe(6, 60, 4, 2e-3, 0.1, "cosine", 0.05, 3, 6),
        distilling=Recipe(6, 60, 4, 2e-3, 0.0, "cosine", 0.01, 3, 6),
        tuning=Schedule(60, 0, 4, updates=6, learning_rate=2e-3, check_every=3),
        scratch=Schedule(60, 0, 4, updates=6, learning_rate=2e-3, check_every=3),
    ),
}


def preset_of(name: str) -> Preset:
    """Look a preset up.

    Raises:
        HarnessError: If there is none of this name.
    """
    if name not in PRESETS:
        raise HarnessError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
