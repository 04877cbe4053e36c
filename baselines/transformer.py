"""A causal transformer over the last seconds: attention by age, with a cache of fixed size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.features import History, in_bins
from baselines.mamba2 import EPSILON, normalised, rotary_angles, rotated, silu
from baselines.parts import part
from baselines.sessions import MultiSession


@dataclass(frozen=True)
class Attention:
    """Sizes of one layer. Each bin attends to itself and the `window_bins - 1` bins before it."""

    width: int
    n_heads: int
    window_bins: int

    @property
    def head(self) -> int:
        return self.width // self.n_heads


class Layer(torch.nn.Module):
    """Pre-norm attention and perceptron, each added to what came in (Vaswani et al. 2017, 10.48550/arXiv.1706.03762).

    Queries and keys are rotated by their position (Su et al. 2021, 10.48550/arXiv.2104.09864), so that only ages count.
    """

    def __init__(self, shape: Attention, *, dropout: float):
        super().__init__()
        self.shape, width = shape, shape.width
        self.norm, self.second_norm = (torch.nn.RMSNorm(width, eps=EPSILON) for _ in range(2))
        self.project = torch.nn.Linear(width, 3 * width, bias=False)
        self.merge = torch.nn.Linear(width, width, bias=False)
        self.widen, self.narrow = torch.nn.Linear(width, 2 * width), torch.nn.Linear(2 * width, width)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        x = x + self.dropout(self.merge(self.attend(*self.project(self.norm(x)).chunk(3, dim=-1))))
        return x + self.dropout(self.narrow(torch.nn.functional.silu(self.widen(self.second_norm(x)))))

    def attend(self, queries: Any, keys: Any, values: Any) -> Any:
        """(batch, n_bins, width) each -> (batch, n_bins, width); work is linear in n_bins.

        A block of `window_bins` queries sees the keys of its own block and of the one before, through a band.
        """
        shape, n_bins = self.shape, queries.shape[1]
        missing = -n_bins % shape.window_bins
        heads = [x.unflatten(-1, (shape.n_heads, shape.head)).transpose(1, 2) for x in (queries, keys, values)]
        angles = rotary_angles(np.arange(n_bins), shape.head)
        turns = [torch.from_numpy(f(angles)).to(queries) for f in (np.cos, np.sin)]
        heads[:2] = [rotated(x, *turns, torch.cat) for x in heads[:2]]
        padded = [torch.nn.functional.pad(x, (0, 0, 0, missing)) for x in heads]
        blocks = [x.unflatten(2, (-1, shape.window_bins)) for x in padded]
        pairs = [torch.cat([torch.nn.functional.pad(x, (0, 0, 0, 0, 1, 0))[:, :, :-1], x], dim=3) for x in blocks[1:]]
        answers = torch.nn.functional.scaled_dot_product_attention(
            blocks[0], *pairs, attn_mask=band(shape.window_bins, blocks[0].shape[2])
        )
        return answers.flatten(2, 3)[:, :, :n_bins].transpose(1, 2).flatten(2)


def band(window_bins: int, n_blocks: int) -> Any:
    """(n_blocks, window_bins, 2 window_bins) bool: which keys of two blocks a query of the second sees."""
    age = torch.arange(window_bins)[:, None] + window_bins - torch.arange(2 * window_bins)
    allowed = ((age >= 0) & (age < window_bins)).repeat(n_blocks, 1, 1)
    allowed[0, :, :window_bins] = False  # nothing comes before the first block
    return allowed


class TransformerCore(torch.nn.Module):
    """Layers, and a normalisation at the end."""

    def __init__(self, shape: Attention, *, n_layers: int, dropout: float):
        super().__init__()
        self.layers = torch.nn.ModuleList([Layer(shape, dropout=dropout) for _ in range(n_layers)])
        self.norm, self.dropout = torch.nn.RMSNorm(shape.width, eps=EPSILON), torch.nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return self.dropout(self.norm(x))


class LayerStream:
    """`Layer`, one bin at a time in NumPy. Its cache holds the keys and values of `window_bins` bins."""

    def __init__(self, weights: Mapping[str, np.ndarray], shape: Attention):
        self.weights, self.shape = weights, shape
        self.keys, self.values = (History(shape.window_bins, shape.width) for _ in range(2))
        self.n_seen = self.position = 0

    def advance(self, row: np.ndarray) -> np.ndarray:
        """(width,) -> (width,)."""
        w = self.weights
        row = row + w["merge.weight"] @ self._attend(w["project.weight"] @ normalised(row, w["norm.weight"]))
        widened = silu(w["widen.weight"] @ normalised(row, w["second_norm.weight"]) + w["widen.bias"])
        return row + w["narrow.weight"] @ widened + w["narrow.bias"]

    def _attend(self, projected: np.ndarray) -> np.ndarray:
        shape = self.shape
        both, value = projected[: 2 * shape.width].reshape(2, shape.n_heads, shape.head), projected[2 * shape.width :]
        # Keys are turned once, by the count of bins: in float64 it stays exact enough for years.
        angles = rotary_angles(self.position, shape.head)
        query, key = rotated(both, np.cos(angles), np.sin(angles), np.concatenate).astype(np.float32)
        self.position += 1
        self.n_seen = min(self.n_seen + 1, shape.window_bins)
        keys, values = (self._recent(*pair) for pair in ((self.keys, key), (self.values, value)))
        scores = (keys @ query[:, :, None])[:, :, 0] / np.sqrt(np.float32(shape.head))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return (weights[:, None] @ values / weights.sum(axis=1)[:, None, None]).reshape(-1)

    def _recent(self, history: History, row: np.ndarray) -> np.ndarray:
        """Add a row; what is held since the start, as (n_heads, n_seen, head)."""
        shape = self.shape
        held = history.push(row.reshape(-1)).reshape(shape.window_bins, shape.n_heads, shape.head)
        return held[: self.n_seen].transpose(1, 0, 2)


class TransformerStream:
    """`TransformerCore`, one bin at a time in NumPy."""

    def __init__(self, weights: Mapping[str, np.ndarray], shape: Attention, *, n_layers: int):
        self.norm = weights["norm.weight"]
        self.layers = [LayerStream(part(weights, f"layers.{i}."), shape) for i in range(n_layers)]

    def advance(self, row: np.ndarray) -> np.ndarray:
        for layer in self.layers:
            row = layer.advance(row)
        return normalised(row, self.norm)


@dataclass
class Transformer(MultiSession):
    """A causal transformer on square-root counts.

    n_layers, n_heads: Layers, one after the other, and heads of attention in each.
    context_s: How far back a layer looks; with every layer, what reaches an answer goes back as far again.
    window_bins, batch_size: Training windows hold at least two contexts. Where that takes more than `window_bins`, a
        batch has fewer of them in proportion, so that it holds as many bins.
    """

    dropout: float = 0.1
    updates: int = 900
    learning_rate: float = 8e-3
    n_layers: int = 2
    n_heads: int = 4
    context_s: float = 1.0

    def shape(self, bin_s: float) -> Attention:
        return Attention(self.hidden, self.n_heads, in_bins(self.context_s, bin_s))

    def windows(self, bin_s: float) -> tuple[int, int]:
        window_bins = max(self.window_bins, 2 * in_bins(self.context_s, bin_s))
        return window_bins, max(1, round(self.batch_size * self.window_bins / window_bins))

    def core(self, bin_s: float) -> TransformerCore:
        return TransformerCore(self.shape(bin_s), n_layers=self.n_layers, dropout=self.dropout)

    def stream(self, weights: Mapping[str, np.ndarray], bin_s: float) -> TransformerStream:
        return TransformerStream(weights, self.shape(bin_s), n_layers=self.n_layers)
