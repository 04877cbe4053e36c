"""Sizes of teacher and student, how long each stage trains, and the presets that fix both."""

from dataclasses import dataclass
from typing import Literal

from baselines.pretraining import Recipe
from harness import HarnessError, SessionInfo

WINDOW_S = 2.0
"""What every answer is made of: the last two seconds, as the protocol's decision is."""


@dataclass(frozen=True)
class TeacherShape:
    """Sizes of the criss-cross transformer.

    rate_hz: Of the signal that it reads; windows of another rate are resampled.
    patch_s: Length of a patch; a token is one patch of one channel.
    width: Values per token; the first half attends across channels, the second across time.
    filters: Of the convolution that reads a patch; each gives width / filters values.
    position_taps: Extent of the convolution over (channels, patches) that tells tokens where they are.
    head: "deep" is CBraMod's, three layers on all tokens; "pooled" one layer on tokens averaged over time.
    spectrum: What is read of a patch beside its waveform: amplitudes are CBraMod's; "log" is log power.
    sharpens: Whether channels are mixed first, as the student does; it begins with each channel as it is.
    """

    width: int
    n_layers: int
    n_heads: int
    hidden: int
    filters: int
    groups: int
    patch_s: float
    rate_hz: float
    position_taps: tuple[int, int]
    head: Literal["deep", "pooled"]
    dropout: float = 0.1
    spectrum: Literal["amplitude", "log"] = "amplitude"
    sharpens: bool = False

    @property
    def patch_samples(self) -> int:
        """Samples in a patch, at the teacher's own rate."""
        return round(self.patch_s * self.rate_hz)

    @property
    def hop(self) -> int:
        """Samples between two positions of the first convolution."""
        return self.patch_samples * self.filters // self.width


@dataclass(frozen=True)
class StudentShape:
    """Sizes of the student.

    filters: Temporal filters, the same for all channels.
    width: Values per patch and channel before they are projected to the teacher's width.
    n_mixers: Blocks between stem and projection.
    places: Channels that are left after compression.
    compressed: Values that are left per place and patch.
    taps_s, hop_s: Length of a temporal filter, and about how far apart its positions are.
    """

    filters: int
    width: int
    places: int = 8
    compressed: int = 32
    n_mixers: int = 2
    taps_s: float = 0.3
    hop_s: float = 0.025
    dropout: float = 0.1


@dataclass(frozen=True)
class Preset:
    """Everything that grows with the machine.

    masking, tuning: The teacher's stages. distilling: the student's. fitting: on the labels of the session that is
    decoded. adapting: on a few labelled trials.
    stride_s: Distance of windows in a trial, in supervised training. lesson_s: of those that the teacher is asked
        about, and of all windows without labels.
    scaled: Whether channels are filtered and scaled as in `baselines.dlink.signals.Front`, or come as published.
    """

    teacher: TeacherShape
    student: StudentShape
    masking: Recipe
    tuning: Recipe
    distilling: Recipe
    fitting: Recipe
    adapting: Recipe
    stride_s: float = 0.5
    lesson_s: float = 1.0
    scaled: bool = False


@dataclass(frozen=True)
class Clock:
    """A session's bins and samples, in the student's units.

    taps, hop: Samples of a temporal filter, and between its positions; `hop` divides a bin.
    patch_bins: Bins in a patch.
    n_patches: In a window.
    scaled: See `baselines.dlink.signals.Front`.
    """

    rate_hz: float
    bin_samples: int
    bin_s: float
    taps: int
    hop: int
    patch_bins: int
    n_patches: int
    scaled: bool = False

    @property
    def window_bins(self) -> int:
        """Bins in a window."""
        return self.patch_bins * self.n_patches

    @property
    def window_samples(self) -> int:
        """Samples in a window."""
        return self.window_bins * self.bin_samples

    @property
    def lead_samples(self) -> int:
        """Samples before a window that its first positions of the filters reach back to."""
        return self.taps - self.hop

    @classmethod
    def of(cls, session: SessionInfo, preset: Preset) -> "Clock":
        """The clock of a session's EEG."""
        info, student = session.streams["eeg"], preset.student
        if info.samples_per_bin is None or info.rate_hz is None:
            raise HarnessError(
                f"stream 'eeg' of session {session.id} is given without samples per bin or rate; DLink reads voltages"
            )
        n, wished = info.samples_per_bin, student.hop_s * info.rate_hz
        hop = max((k for k in range(1, n + 1) if n % k == 0 and k <= wished), default=1)
        taps = max(hop, round(student.taps_s * info.rate_hz))
        patch_bins = max(1, round(preset.teacher.patch_s / session.bin_s))
        n_patches = max(1, round(WINDOW_S / preset.teacher.patch_s))
        return cls(info.rate_hz, n, session.bin_s, taps, hop, patch_bins, n_patches, preset.scaled)


PRESETS = {
    "paper": Preset(
        teacher=TeacherShape(200, 12, 8, 800, 25, 5, 1.0, 200.0, (19, 7), "deep"),
        student=StudentShape(filters=32, width=32),
        masking=Recipe(10**6, 40, 128, 5e-4, 0.02, "cosine", 0.02, 500, 10, 5e-2),
        tuning=Recipe(10**6, 50, 64, 1e-4, 0.0, "cosine", 0.01, 100, 10, 5e-2),
        distilling=Recipe(10**6, 50, 64, 1e-3, 0.0, "cosine", 0.01, 100, 10, 1e-2),
        fitting=Recipe(300, 20, 32, 1e-3, 0.1, "cosine", 0.05, 10, 6, 1e-2, keeps_start=True),
        adapting=Recipe(20, 10, 16, 3e-4, 0.0, "cosine", 0.1, 5, 4, 1e-2, keeps_start=True),
    ),
    "small": Preset(
        teacher=TeacherShape(64, 4, 4, 128, 8, 4, 0.5, 160.0, (9, 3), "pooled", spectrum="log", sharpens=True),
        student=StudentShape(filters=12, width=16),
        masking=Recipe(300, 30, 16, 2e-3, 0.1, "cosine", 0.05, 60, 4, 1e-2),
        tuning=Recipe(200, 12, 16, 2e-3, 0.1, "cosine", 0.05, 40, 4, 5e-2),
        distilling=Recipe(250, 15, 32, 3e-3, 0.05, "cosine", 0.02, 50, 4, 1e-2),
        fitting=Recipe(120, 5, 32, 2e-3, 0.1, "cosine", 0.05, 5, 4, 1e-2, keeps_start=True),
        adapting=Recipe(12, 4, 16, 1e-3, 0.0, "cosine", 0.1, 4, 3, 1e-2, keeps_start=True),
        scaled=True,
    ),
    "tiny": Preset(
        teacher=TeacherShape(16, 2, 4, 32, 4, 2, 0.5, 160.0, (3, 3), "pooled"),
        student=StudentShape(filters=4, width=6, places=3, compressed=5),
        masking=Recipe(4, 10, 8, 1e-3, 0.1, "cosine", 0.05, 2, 4),
        tuning=Recipe(4, 12, 8, 1e-3, 0.1, "cosine", 0.05, 2, 4),
        distilling=Recipe(6, 15, 8, 3e-3, 0.05, "cosine", 0.02, 3, 4),
        fitting=Recipe(6, 4, 8, 2e-3, 0.1, "cosine", 0.05, 3, 4, keeps_start=True),
        adapting=Recipe(3, 4, 8, 1e-3, 0.0, "cosine", 0.1, 3, 3, keeps_start=True),
        scaled=True,
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
