"""Attention over the spikes of one bin, in PyTorch for training and in NumPy for one bin at a time.

Every spike is a token, the embedding of its unit. Spikes of one unit in one bin are the same token, so c of them weigh
c exp(q.k) in a softmax, which is one token whose logit is larger by log c: counts go straight into sums, and a unit
that did not fire is no token. One more token rests: it is always there, weighs exp(rest) times what the spikes of an
average bin do at logit 0, and its value is zero. So the answer tells few spikes from many, and silence gives 0.
"""

import math
from typing import Any

import numpy as np
import torch

MAX_LOGIT = 8.0
"""Of a unit, softly, so that no exponential overflows in float32."""


class EventAttention(torch.nn.Module):
    """`n_latents` learned queries attend with `n_heads` heads each; the pooled values are (n_latents * width,)."""

    def __init__(self, width: int, *, n_latents: int, n_heads: int):
        super().__init__()
        size = width // n_heads
        self.queries = torch.nn.Parameter(torch.randn(n_latents, n_heads, size) * 0.3 / math.sqrt(size))
        self.rest = torch.nn.Parameter(torch.zeros(n_latents, n_heads))
        self.keys = torch.nn.Linear(width, width, bias=False)
        self.values = torch.nn.Linear(width, width, bias=False)

    @property
    def n_pooled(self) -> int:
        """Numbers that one bin is pooled to."""
        return self.queries.shape[0] * self.values.out_features

    def table(self, units: Any) -> Any:
        """What one spike of each unit adds to the sums.

        units: (n_units, width) embeddings -> (n_units, n_pooled + n_latents * n_heads): weighted values, then weights.
        """
        heads = (len(units), *self.queries.shape[1:])
        keys, values = self.keys(units).view(heads), self.values(units).view(heads)
        logits = torch.einsum("lhc,uhc->ulh", self.queries, keys)
        weights = torch.exp(MAX_LOGIT * torch.tanh(logits / MAX_LOGIT))
        return torch.cat([(weights[..., None] * values[:, None]).flatten(1), weights.flatten(1)], dim=1)

    def pooled(self, sums: Any) -> Any:
        """(..., n_pooled + n_latents * n_heads) sums over spikes -> (..., n_pooled) means over tokens."""
        values, weights = sums[..., : self.n_pooled], sums[..., self.n_pooled :]
        means = values.unflatten(-1, (self.rest.numel(), -1)) / (weights + self.rest.flatten().exp())[..., None]
        return means.flatten(-2)


class EventPool:
    """The same for the counts of one bin; only units that fired are looked at.

    table: (n_units, n_pooled + n_weights) what one spike adds. rest: (n_weights,) weight of the token that rests.
    """

    def __init__(self, table: np.ndarray, rest: np.ndarray):
        self.table, self.rest = table, rest

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """(n_units,) -> (n_pooled,)."""
        fired = np.flatnonzero(counts)
        sums = counts[fired] @ self.table[fired]
        n_weights = len(self.rest)
        means = sums[:-n_weights].reshape(n_weights, -1) / (sums[-n_weights:] + self.rest)[:, None]
        return means.reshape(-1)
