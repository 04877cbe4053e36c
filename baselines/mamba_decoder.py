"""Spikes to behaviour with Mamba-2 blocks: a memory of fixed size, learned from one session or from many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.mamba2 import EPSILON, Mamba2Block, Mamba2Shape, Mamba2Stream, normalised
from baselines.sessions import MultiSession, part


class MambaCore(torch.nn.Module):
    """Pre-norm residual blocks, and a normalisation at the end."""

    def __init__(self, shape: Mamba2Shape, *, n_layers: int, dropout: float):
        super().__init__()
        self.blocks = torch.nn.ModuleList([Mamba2Block(shape) for _ in range(n_layers)])
        self.norms = torch.nn.ModuleList([torch.nn.RMSNorm(shape.width, eps=EPSILON) for _ in range(n_layers + 1)])
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        for block, norm in zip(self.blocks, self.norms, strict=False):
            x = x + self.dropout(block(norm(x)))
        return self.dropout(self.norms[-1](x))


class MambaStream:
    """`MambaCore`, one bin at a time in NumPy."""

    def __init__(self, weights: Mapping[str, np.ndarray], shape: Mamba2Shape, *, n_layers: int):
        self.norms = [weights[f"norms.{i}.weight"] for i in range(n_layers + 1)]
        self.blocks = [Mamba2Stream(part(weights, f"blocks.{i}."), shape) for i in range(n_layers)]

    def advance(self, row: np.ndarray) -> np.ndarray:
        for block, norm in zip(self.blocks, self.norms, strict=False):
            row = row + block.advance(normalised(row, norm))
        return normalised(row, self.norms[-1])


@dataclass
class Mamba2(MultiSession):
    """Mamba-2 blocks on square-root counts.

    n_layers: Blocks, one after the other.
    expand, head, state_columns: See `expand`, `head` and `state` of `baselines.mamba2.Mamba2Shape`.
    shortest_s, longest_s: Memories of the first head before training, drawn between these; later heads forget faster.
    """

    dropout: float = 0.1
    updates: int = 500
    learning_rate: float = 1e-2
    n_layers: int = 2
    expand: int = 2
    head: int = 16
    state_columns: int = 16
    shortest_s: float = 0.1
    longest_s: float = 1.0

    def shape(self, bin_s: float) -> Mamba2Shape:
        dt_range = bin_s / self.longest_s, bin_s / self.shortest_s
        return Mamba2Shape(self.hidden, expand=self.expand, head=self.head, state=self.state_columns, dt_range=dt_range)

    def core(self, bin_s: float) -> MambaCore:
        return MambaCore(self.shape(bin_s), n_layers=self.n_layers, dropout=self.dropout)

    def stream(self, weights: Mapping[str, np.ndarray], bin_s: float) -> MambaStream:
        return MambaStream(weights, self.shape(bin_s), n_layers=self.n_layers)
