"""The student: a stem of band powers, two mixing blocks, a projection to the teacher's width, then compression.

Powers, since imagined movement shows as rhythms that get weaker: a layer for each step that CSP and a filter bank take.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.dlink.shape import Clock, StudentShape

LEAST_POWER = 1e-6
"""Added before the logarithm, in (100 uV)^2: a tenth of a microvolt."""
BANDS_HZ = (5.0, 36.0)
BLUR = (0.25, 0.5, 0.25)


@dataclass(frozen=True)
class Output:
    """What the student makes of a batch.

    imitation: (batch, n_channels, n_patches, teacher's width); None from a student that projects nothing.
    compressed: (batch, places, fewer patches, teacher's width), alike.
    scores: (batch, n_classes).
    """

    imitation: Any
    compressed: Any
    scores: Any


class Stem(torch.nn.Module):
    """Samples -> features of every channel: a spatial filter, temporal filters, power, logarithm, a layer.

    The spatial filter begins as the identity, temporal ones as cosines of 5 to 36 Hz in a Hann window.
    """

    def __init__(self, shape: StudentShape, clock: Clock, n_channels: int):
        super().__init__()
        self.hop, self.frames_per_bin = clock.hop, clock.bin_samples // clock.hop
        self.sharpen = torch.nn.Linear(n_channels, n_channels, bias=False)
        torch.nn.init.eye_(self.sharpen.weight)
        self.filters = torch.nn.Parameter(torch.from_numpy(waves(shape.filters, clock)))
        self.standard = torch.nn.BatchNorm1d(shape.filters)
        self.features = torch.nn.Linear(shape.filters, shape.width)

    def powers(self, samples: Any) -> Any:
        """(batch, lead + n_samples, n_channels) -> (batch, n_bins, n_channels, filters), the mean over each bin."""
        filtered = strided(self.sharpen(samples).transpose(1, 2), self.filters, self.hop)
        return filtered.square().unflatten(-1, (-1, self.frames_per_bin)).mean(dim=-1).permute(0, 3, 2, 1)

    def forward(self, powers: Any) -> Any:
        """(..., filters) mean powers of patches -> (..., width)."""
        logs = torch.log(powers + LEAST_POWER)
        return torch.relu(self.features(self.standard(logs.flatten(0, -2)).view_as(logs)))


def strided(rows: Any, filters: Any, hop: int) -> Any:
    """Rows through filters, `hop` samples a step: (batch, n_channels, n_samples) -> (batch, filters, n_channels, n).

    As a convolution of stride 1 over `hop` phases, whose gradient PyTorch has three times sooner on a processor.
    """
    n_steps, taps = (rows.shape[-1] - filters.shape[-1]) // hop + 1, -(-filters.shape[-1] // hop) * hop
    pad = torch.nn.functional.pad
    phases = pad(rows, (0, (n_steps - 1) * hop + taps - rows.shape[-1])).flatten(0, 1).unflatten(-1, (-1, hop))
    kernels = pad(filters, (0, taps - filters.shape[-1])).unflatten(-1, (-1, hop))
    found = torch.nn.functional.conv1d(phases.transpose(1, 2), kernels.transpose(1, 2))
    return found.unflatten(0, rows.shape[:2]).transpose(1, 2)


class Mixer(torch.nn.Module):
    """Residual: each feature along three patches, features among each other, then channels among each other."""

    def __init__(self, width: int, n_channels: int):
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.along_time = torch.nn.Conv2d(width, width, (3, 1), padding=(1, 0), groups=width)
        self.features, self.channels = torch.nn.Linear(width, width), torch.nn.Linear(n_channels, n_channels)
        torch.nn.init.zeros_(self.channels.weight)
        torch.nn.init.zeros_(self.channels.bias)

    def forward(self, x: Any) -> Any:
        """(batch, n_patches, n_channels, width) -> the same shape."""
        along = self.along_time(self.norm(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + self.features(torch.relu(along))
        return x + self.channels(x.transpose(-1, -2)).transpose(-1, -2)


class Student(torch.nn.Module):
    """Project, then compress.

    Args:
        shape: Sizes.
        clock: Of the session.
        teacher_width: Of what is imitated; 0: no projection, patches are averaged and nothing is imitated.
    """

    def __init__(self, shape: StudentShape, clock: Clock, *, teacher_width: int, n_channels: int, n_classes: int):
        super().__init__()
        self.clock, self.teacher_width = clock, teacher_width
        self.stem = Stem(shape, clock, n_channels)
        self.mixers = torch.nn.ModuleList(Mixer(shape.width, n_channels) for _ in range(shape.n_mixers))
        self.spatial = torch.nn.Linear(n_channels, shape.places)
        self.dropout = torch.nn.Dropout(shape.dropout)
        thinning = torch.from_numpy(anti_aliased(clock.n_patches))
        if teacher_width:
            self.project = torch.nn.Linear(shape.width, teacher_width)
            self.pointwise = torch.nn.Linear(teacher_width, shape.compressed)
            n_left = len(thinning) * shape.compressed
        else:
            n_left, thinning = shape.width, torch.full((1, clock.n_patches), 1 / clock.n_patches)
        self.register_buffer("thinning", thinning, persistent=False)
        self.head = torch.nn.Linear(shape.places * n_left, n_classes)

    def forward(self, samples: Any) -> Output:
        """(batch, lead + n_samples, n_channels) windows -> all that a loss may look at."""
        powers = self.stem.powers(samples).unflatten(1, (self.clock.n_patches, self.clock.patch_bins))
        return self.answer(self.stem(powers.mean(dim=2)))

    def answer(self, x: Any) -> Output:
        """(batch, n_patches, n_channels, width) features of a window's patches -> all that a loss may look at."""
        for mixer in self.mixers:
            x = mixer(x)
        imitation = self.project(x).transpose(1, 2) if self.teacher_width else None
        compressed = self.compress(imitation if self.teacher_width else x.transpose(1, 2))
        left = self.pointwise(compressed) if self.teacher_width else compressed
        scores = self.head(self.dropout(torch.relu(left).flatten(1)))
        return Output(imitation, compressed if self.teacher_width else None, scores)

    def compress(self, features: Any) -> Any:
        """(batch, n_channels, n_patches, width) -> (batch, places, fewer patches, width): in space, then in time."""
        placed = torch.einsum("pc,bcsd->bpsd", self.spatial.weight, features) + self.spatial.bias[:, None, None]
        return torch.einsum("rs,bpsd->bprd", self.thinning, placed)


def waves(n: int, clock: Clock) -> np.ndarray:
    """(n, taps) float32 of unit energy: cosines in a Hann window, from 5 to 36 Hz or what the rate can carry."""
    seconds = (np.arange(clock.taps) - (clock.taps - 1) / 2) / clock.rate_hz
    highest = min(BANDS_HZ[1], 0.4 * clock.rate_hz)
    hertz = np.geomspace(min(BANDS_HZ[0], highest), highest, n)[:, None]
    found = np.cos(2 * np.pi * hertz * seconds) * np.hanning(clock.taps + 2)[1:-1]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def anti_aliased(n_patches: int) -> np.ndarray:
    """(ceil(n / 2), n_patches) float32: a binomial low-pass of three taps, then every second; edges are repeated."""
    found = np.zeros((-(-n_patches // 2), n_patches), np.float32)
    for row, at in zip(found, range(0, n_patches, 2), strict=True):
        for tap, weight in zip((at - 1, at, at + 1), BLUR, strict=True):
            row[np.clip(tap, 0, n_patches - 1)] += weight
    return found


def stretching(n_patches: int, n_left: int) -> np.ndarray:
    """(n_patches, n_left) float32: back to the patches that compression took out, by linear interpolation."""
    return np.stack(
        [np.interp(np.arange(n_patches), 2 * np.arange(n_left), row) for row in np.eye(n_left)], axis=1
    ).astype(np.float32)
