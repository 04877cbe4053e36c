"""The transformer under all cross-modal networks, and the encoder of one signal: tokens, their places, layers.

Pre-norm, rotary by bin (all tokens of a bin share their position), gated perceptron; papers: Vaswani et al. 2017,
10.48550/arXiv.1706.03762; Su et al. 2021, 10.48550/arXiv.2104.09864; Shazeer 2020, 10.48550/arXiv.2002.05202.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.crossmodal.shape import Shape, Signal
from baselines.crossmodal.tokens import ConvOver, LfpTokens, SpikeTokens
from baselines.mamba2 import EPSILON, rotary_angles, rotated

PLACE_SD = 0.02


@dataclass(frozen=True)
class Band:
    """Who sees whom in a causal encoder: a token those of its own bin and of the `context_bins - 1` before it."""

    context_bins: int
    n_patches: int


@dataclass(frozen=True)
class Reach:
    """A token sees those of bins no further than `reach_bins` from its own, before and after."""

    reach_bins: int
    n_patches: int


class Layer(torch.nn.Module):
    """Attention and gated perceptron, each added to what came in."""

    def __init__(self, width: int, n_heads: int, *, ratio: int, dropout: float):
        super().__init__()
        self.n_heads = n_heads
        self.norm, self.second_norm = (torch.nn.RMSNorm(width, eps=EPSILON) for _ in range(2))
        self.project, self.merge = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.widen, self.narrow = torch.nn.Linear(width, 2 * ratio * width), torch.nn.Linear(ratio * width, width)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: Any, turns: tuple[Any, Any], band: Band | Reach | None) -> Any:
        """x: (batch, n_tokens, width); turns: cosines and sines, (batch or 1, 1, n_tokens, head / 2)."""
        projected = self.project(self.norm(x)).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys = (rotated(one, *turns, torch.cat) for one in projected[:2])
        seen = ATTENTIONS[type(band)]
        attended = seen(queries, keys, projected[2], band).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.merge(attended))
        gate, up = self.widen(self.second_norm(x)).chunk(2, dim=-1)
        return x + self.dropout(self.narrow(torch.nn.functional.silu(gate) * up))


def look_near(layer: Layer, locality: float) -> None:
    """Begin with attention to near bins, more of it from head to head.

    The same bias b in queries and keys adds 2 b^2 sum_i cos(frequency_i * distance) / sqrt(head) to a score: at
    distance 0 that is `locality` * i_head, and less elsewhere.
    """
    head = layer.merge.in_features // layer.n_heads
    with torch.no_grad():
        biases = layer.project.bias.view(3, layer.n_heads, head)
        biases[:2] = (locality * torch.arange(layer.n_heads) / head**0.5).sqrt()[:, None]


def full_attention(queries: Any, keys: Any, values: Any, band: None = None) -> Any:
    """(batch, n_heads, n_tokens, head) each, and back."""
    return torch.nn.functional.scaled_dot_product_attention(queries, keys, values)


def near_attention(queries: Any, keys: Any, values: Any, reach: Reach) -> Any:
    """The same within a `Reach`."""
    bins = torch.arange(queries.shape[2], device=queries.device) // reach.n_patches
    allowed = (bins[:, None] - bins).abs() <= reach.reach_bins
    return torch.nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=allowed)


def banded_attention(queries: Any, keys: Any, values: Any, band: Band) -> Any:
    """The same within a `Band`: a block of contexts sees itself and the one before, so work is linear in length."""
    n_tokens, block = queries.shape[2], band.context_bins * band.n_patches
    missing = -n_tokens % block
    cut = [torch.nn.functional.pad(x, (0, 0, 0, missing)).unflatten(2, (-1, block)) for x in (queries, keys, values)]
    pairs = [torch.cat([torch.nn.functional.pad(x, (0, 0, 0, 0, 1, 0))[:, :, :-1], x], dim=3) for x in cut[1:]]
    allowed = band_mask(band, cut[0].shape[2]).to(queries.device)
    answers = torch.nn.functional.scaled_dot_product_attention(cut[0], *pairs, attn_mask=allowed)
    return answers.flatten(2, 3)[:, :, :n_tokens]


def band_mask(band: Band, n_blocks: int) -> Any:
    """(n_blocks, block, 2 blocks) bool: which tokens of two blocks a token of the second sees."""
    bins = torch.arange(2 * band.context_bins).repeat_interleave(band.n_patches)
    age = bins[len(bins) // 2 :, None] - bins
    allowed = ((age >= 0) & (age < band.context_bins)).repeat(n_blocks, 1, 1)
    allowed[0, :, : len(bins) // 2] = False  # nothing comes before the first block
    return allowed


ATTENTIONS = {type(None): full_attention, Band: banded_attention, Reach: near_attention}


class Trunk(torch.nn.Module):
    """Layers, and a normalisation at the end."""

    def __init__(self, width: int, n_layers: int, shape: Shape, *, n_heads: int):
        super().__init__()
        self.head = width // n_heads
        self.layers = torch.nn.ModuleList(
            [Layer(width, n_heads, ratio=shape.ratio, dropout=shape.dropout) for _ in range(n_layers)]
        )
        self.norm = torch.nn.RMSNorm(width, eps=EPSILON)
        if shape.locality:
            for layer in self.layers:
                look_near(layer, shape.locality)

    def forward(self, x: Any, bins: Any, band: Band | Reach | None = None) -> Any:
        """x: (batch, n_tokens, width); bins: (batch or 1, n_tokens) int, when each token was."""
        angles = rotary_angles(np.arange(int(bins.max()) + 1), self.head)
        turns = tuple(torch.from_numpy(f(angles)).to(x)[bins][:, None] for f in (np.cos, np.sin))
        for layer in self.layers:
            x = layer(x, turns, band)
        return self.norm(x)


class Encoder(torch.nn.Module):
    """One signal of any held session -> a latent per bin, the mean over its tokens.

    places: Session key -> (n_patches, width), the learned vector that is added to the tokens of each of its patches.
    context_bins: Of the causal encoder; None: every token sees the whole window.
    """

    def __init__(
        self,
        shape: Shape,
        signal: Signal,
        n_patches: Mapping[str, int],
        *,
        context_bins: int | None = None,
        over: ConvOver = "time",
    ):
        super().__init__()
        self.shape, self.signal, self.context_bins = shape, signal, context_bins
        self.tokens = SpikeTokens(shape) if signal == "spikes" else LfpTokens(shape, over=over)
        self.places = torch.nn.ParameterDict(
            {key: torch.nn.Parameter(PLACE_SD * torch.randn(n, shape.width)) for key, n in n_patches.items()}
        )
        self.trunk = Trunk(shape.width, shape.n_layers, shape, n_heads=shape.n_heads)

    def placed(self, values: Any, key: str) -> Any:
        """(batch, n_bins, n_channels) of a session -> its tokens (batch, n_bins, n_patches, width)."""
        return self.tokens(values) + self.places[key]

    def forward(self, values: Any, key: str) -> Any:
        """(batch, n_bins, n_channels) -> (batch, n_bins, width)."""
        placed = self.placed(values, key)
        n_bins, n_patches = placed.shape[1:3]
        band = None if self.context_bins is None else Band(self.context_bins, n_patches)
        bins = torch.arange(n_bins, device=placed.device).repeat_interleave(n_patches)[None]
        return self.trunk(placed.flatten(1, 2), bins, band).unflatten(1, (n_bins, n_patches)).mean(dim=2)
