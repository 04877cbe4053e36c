"""The causal encoder of LFP, one bin at a time in NumPy: a bin's tokens together, a cache of one context per layer."""

from collections.abc import Mapping

import numpy as np

from baselines.crossmodal.shape import Shape
from baselines.crossmodal.tokens import ConvOver, spacing
from baselines.features import History
from baselines.mamba2 import EPSILON, rotary_angles, rotated, silu
from baselines.parts import part


def normalised(rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`torch.nn.RMSNorm` of rows (n, width)."""
    return rows * weight / np.sqrt(np.sum(rows * rows, axis=1, keepdims=True) / rows.shape[1] + EPSILON)


class TokenStream:
    """`LfpTokens`: remembers as many tokens as its oldest tap looks back."""

    def __init__(self, weights: Mapping[str, np.ndarray], shape: Shape, *, n_patches: int, over: ConvOver):
        self.weights, self.patch, self.n_patches = weights, shape.lfp_patch, n_patches
        gap = spacing(shape, over, n_patches)
        n_past = (shape.taps - 1) * gap
        self.rows = np.zeros((n_past + n_patches, shape.lfp_patch), np.float32)
        self.wanted = n_past + np.arange(n_patches)[:, None] - gap * np.arange(shape.taps)

    def advance(self, row: np.ndarray) -> np.ndarray:
        """(n_channels,) -> (n_patches, width)."""
        self.rows[: -self.n_patches] = self.rows[self.n_patches :]
        self.rows[-self.n_patches :].reshape(-1)[: len(row)] = row
        past = self.rows[self.wanted].reshape(self.n_patches, -1)
        return past @ self.weights["mix.weight"].T + self.weights["mix.bias"]


class LayerStream:
    """`Layer` within a `Band`."""

    def __init__(self, weights: Mapping[str, np.ndarray], shape: Shape, *, context_bins: int, n_patches: int):
        self.weights, self.shape, self.n_patches = weights, shape, n_patches
        self.keys, self.values = (History(context_bins, n_patches * shape.width) for _ in range(2))
        self.context_bins, self.n_seen = context_bins, 0

    def advance(self, x: np.ndarray, turns: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """(n_patches, width) -> (n_patches, width); turns: cosines and sines of this bin, (head / 2,) each."""
        w = self.weights
        projected = normalised(x, w["norm.weight"]) @ w["project.weight"].T + w["project.bias"]
        x = x + self._attend(projected, turns) @ w["merge.weight"].T + w["merge.bias"]
        widened = normalised(x, w["second_norm.weight"]) @ w["widen.weight"].T + w["widen.bias"]
        gate, up = widened[:, : widened.shape[1] // 2], widened[:, widened.shape[1] // 2 :]
        return x + (silu(gate) * up) @ w["narrow.weight"].T + w["narrow.bias"]

    def _attend(self, projected: np.ndarray, turns: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        n_heads = self.shape.n_heads
        queries, keys, values = projected.reshape(self.n_patches, 3, n_heads, -1).transpose(1, 0, 2, 3)
        queries, keys = (rotated(one, *turns, np.concatenate).astype(np.float32) for one in (queries, keys))
        self.n_seen = min(self.n_seen + 1, self.context_bins)
        seen_keys, seen_values = self._recent(self.keys, keys), self._recent(self.values, values)
        # (n_heads, n_patches, head) @ (n_heads, head, n_tokens)
        head = queries.shape[-1]
        scores = queries.transpose(1, 0, 2) @ seen_keys.transpose(0, 2, 1) / np.sqrt(np.float32(head))
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        weights = weights / weights.sum(axis=2, keepdims=True)
        return (weights @ seen_values).transpose(1, 0, 2).reshape(self.n_patches, -1)

    def _recent(self, history: History, rows: np.ndarray) -> np.ndarray:
        """Add the tokens of a bin; those held since the start, as (n_heads, n_tokens, head)."""
        held = history.push(rows.reshape(-1)).reshape(self.context_bins * self.n_patches, self.shape.n_heads, -1)
        return held[: self.n_seen * self.n_patches].transpose(1, 0, 2)


class EncoderStream:
    """`Encoder` of LFP within a band. Its position is a count of bins, exact enough in float64 for years."""

    def __init__(self, weights: Mapping[str, np.ndarray], shape: Shape, *, key: str, context_bins: int, over: ConvOver):
        self.shape, self.position = shape, 0
        self.places, self.norm = weights[f"places.{key}"], weights["trunk.norm.weight"]
        n_patches = len(self.places)
        self.tokens = TokenStream(part(weights, "tokens."), shape, n_patches=n_patches, over=over)
        self.layers = [
            LayerStream(part(weights, f"trunk.layers.{i}."), shape, context_bins=context_bins, n_patches=n_patches)
            for i in range(shape.n_layers)
        ]

    def advance(self, row: np.ndarray) -> np.ndarray:
        """(n_channels,) standardised -> (width,)."""
        x = self.tokens.advance(row) + self.places
        angles = rotary_angles(self.position, self.shape.width // self.shape.n_heads)
        self.position += 1
        turns = np.cos(angles), np.sin(angles)
        for layer in self.layers:
            x = layer.advance(x, turns)
        return normalised(x, self.norm).sum(axis=0) / len(x)
