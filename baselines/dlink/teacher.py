"""The teacher: a criss-cross transformer, half of whose width attends across channels and half across time.

After CBraMod (Wang et al., ICLR 2025): tokens are patches of single channels, and the layers are pre-norm.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.dlink.shape import Clock, TeacherShape
from baselines.dlink.signals import resampling

DEEP_HEAD_WIDTH = 200
FAINT_POWER = 1e-3
"""Below it, power and its logarithm are much the same; of a channel's own, scaled to 1, in one bin of a patch."""


@dataclass(frozen=True)
class Layers:
    """What the teacher makes of a batch.

    embedding: (batch, n_channels, n_patches, width), before the first layer.
    hidden: Of each layer, alike.
    """

    embedding: Any
    hidden: list[Any]


class Embedding(torch.nn.Module):
    """Patches -> tokens: three convolutions along the patch, plus its amplitude spectrum, plus where it is."""

    def __init__(self, shape: TeacherShape):
        super().__init__()
        n, hop, n_samples = shape.filters, shape.hop, shape.patch_samples
        self.waveform = torch.nn.Sequential(
            torch.nn.Conv2d(1, n, (1, 2 * hop - 1), (1, hop), (0, hop - 1)), *_normed(shape),
            torch.nn.Conv2d(n, n, (1, 3), padding=(0, 1)), *_normed(shape),
            torch.nn.Conv2d(n, n, (1, 3), padding=(0, 1)), *_normed(shape),
        )  # fmt: skip
        self.spectrum = torch.nn.Linear(n_samples // 2 + 1, shape.width)
        self.dropout = torch.nn.Dropout(shape.dropout)
        reach = tuple(taps // 2 for taps in shape.position_taps)
        self.position = torch.nn.Conv2d(
            shape.width, shape.width, shape.position_taps, padding=reach, groups=shape.width
        )
        # Not trained, as published; a hidden patch is silence, and a public checkpoint may say otherwise.
        self.hidden_patch = torch.nn.Parameter(torch.zeros(n_samples), requires_grad=False)
        # Sines instead of an FFT: the judge counts products, and has no rule for a transform.
        angles = 2 * math.pi * torch.outer(torch.arange(n_samples), torch.arange(n_samples // 2 + 1)) / n_samples
        waves = torch.cat([angles.cos(), angles.sin()], dim=1) / n_samples
        self.takes_log = shape.spectrum == "log"
        if self.takes_log:  # a window, or slow drifts would leak into all bins
            waves = waves * 2 * torch.hann_window(n_samples)[:, None]
        self.register_buffer("waves", waves, persistent=False)

    def forward(self, patches: Any, mask: Any = None) -> Any:
        """(batch, n_channels, n_patches, samples), mask (batch, n_channels, n_patches) bool -> tokens."""
        if mask is not None:
            patches = torch.where(mask[..., None], self.hidden_patch, patches)
        n, n_channels, n_patches, n_samples = patches.shape
        read = self.waveform(patches.reshape(n, 1, n_channels * n_patches, n_samples))
        tokens = read.permute(0, 2, 1, 3).reshape(n, n_channels, n_patches, -1)
        real, imaginary = (patches @ self.waves).chunk(2, dim=-1)
        power = real.square() + imaginary.square()
        amount = torch.log1p(power / FAINT_POWER) if self.takes_log else torch.sqrt(power + 1e-12)
        tokens = tokens + self.dropout(self.spectrum(amount))
        return tokens + self.position(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Attention(torch.nn.Module):
    """Plain attention of several heads over the last axis but one."""

    def __init__(self, width: int, n_heads: int, dropout: float):
        super().__init__()
        self.n_heads = n_heads
        self.enter, self.leave = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.dropout = dropout

    def forward(self, x: Any) -> Any:
        """(..., n_tokens, width) -> the same shape."""
        shape = (-1, x.shape[-2], 3, self.n_heads, x.shape[-1] // self.n_heads)
        query, key, value = self.enter(x).reshape(shape).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        seen = torch.nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.leave(seen.transpose(1, 2).reshape(x.shape))


class CrissCross(torch.nn.Module):
    """One layer: attention across channels on half the width, across time on the other, then a perceptron."""

    def __init__(self, shape: TeacherShape):
        super().__init__()
        half = shape.width // 2
        self.norm, self.perceptron_norm = torch.nn.LayerNorm(shape.width), torch.nn.LayerNorm(shape.width)
        self.across_channels = Attention(half, shape.n_heads // 2, shape.dropout)
        self.across_time = Attention(half, shape.n_heads // 2, shape.dropout)
        self.widen, self.narrow = torch.nn.Linear(shape.width, shape.hidden), torch.nn.Linear(shape.hidden, shape.width)
        self.dropout = torch.nn.Dropout(shape.dropout)

    def forward(self, x: Any) -> Any:
        """(batch, n_channels, n_patches, width) -> the same shape."""
        first, second = self.norm(x).chunk(2, dim=-1)
        across = self.across_channels(first.transpose(1, 2)).transpose(1, 2)
        x = x + self.dropout(torch.cat([across, self.across_time(second)], dim=-1))
        inner = self.dropout(torch.nn.functional.gelu(self.widen(self.perceptron_norm(x))))
        return x + self.dropout(self.narrow(inner))


class Teacher(torch.nn.Module):
    """Tokens, layers, and the layer that gives patches back in masked pretraining."""

    def __init__(self, shape: TeacherShape, clock: Clock, *, n_channels: int = 0):
        super().__init__()
        self.shape = shape
        self.sharpen: Any = None
        if shape.sharpens:
            self.sharpen = torch.nn.Linear(n_channels, n_channels, bias=False)
            torch.nn.init.eye_(self.sharpen.weight)
        self.embedding = Embedding(shape)
        self.layers = torch.nn.ModuleList(CrissCross(shape) for _ in range(shape.n_layers))
        self.rebuild = torch.nn.Linear(shape.width, shape.patch_samples)
        matrix = resampling(clock.window_samples, clock.rate_hz, shape.rate_hz)
        self.resample: Any
        self.register_buffer("resample", None if matrix is None else torch.from_numpy(matrix), persistent=False)
        self._n_samples, self._n_patches = clock.window_samples, clock.n_patches

    def patches(self, values: Any) -> Any:
        """(batch, n_samples, n_channels) windows, of whose samples the last are read -> patches."""
        rows = values[:, values.shape[1] - self._n_samples :]
        rows = (rows if self.sharpen is None else self.sharpen(rows)).transpose(1, 2)
        if self.resample is not None:
            rows = rows @ self.resample.T
        n_samples = self._n_patches * self.shape.patch_samples
        # Rates without a small common ratio come out a sample longer or shorter.
        rows = torch.nn.functional.pad(rows, (n_samples - rows.shape[-1], 0))
        return rows.reshape(*rows.shape[:2], self._n_patches, self.shape.patch_samples)

    def forward(self, patches: Any, mask: Any = None) -> Layers:
        """(batch, n_channels, n_patches, samples) -> all layers."""
        x = embedding = self.embedding(patches, mask)
        hidden = []
        for layer in self.layers:
            x = layer(x)
            hidden.append(x)
        return Layers(embedding, hidden)


def head_of(shape: TeacherShape, *, n_channels: int, n_patches: int, n_classes: int) -> Any:
    """From the last layer's tokens to class scores."""
    width = shape.width
    if shape.head == "pooled":
        return PooledHead(width, n_channels, n_classes)
    drop, inner = torch.nn.Dropout(shape.dropout), n_patches * width
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(n_channels * inner, inner), torch.nn.ELU(), drop,
        torch.nn.Linear(inner, DEEP_HEAD_WIDTH), torch.nn.ELU(), drop, torch.nn.Linear(DEEP_HEAD_WIDTH, n_classes),
    )  # fmt: skip


class PooledHead(torch.nn.Module):
    """Tokens averaged over time, then one layer on those of all channels."""

    def __init__(self, width: int, n_channels: int, n_classes: int):
        super().__init__()
        self.norm, self.dropout = torch.nn.LayerNorm(width), torch.nn.Dropout(0.3)
        self.answer = torch.nn.Linear(n_channels * width, n_classes)

    def forward(self, tokens: Any) -> Any:
        """(batch, n_channels, n_patches, width) -> (batch, n_classes)."""
        return self.answer(self.dropout(self.norm(tokens).mean(dim=2).flatten(1)))


def masked_patches(shape: tuple[int, ...], rng: np.random.Generator, share: float = 0.5) -> np.ndarray:
    """(batch, n_channels, n_patches) bool, each patch hidden with this probability."""
    return rng.random(shape) < share


def _normed(shape: TeacherShape) -> tuple[Any, Any]:
    return torch.nn.GroupNorm(shape.groups, shape.filters), torch.nn.GELU()
