"""The encoder: tokenizer, then residual Mamba-2 layers, in one direction of time or in both."""

from typing import Any

import torch

from baselines.mamba2 import Mamba2Block, Mamba2Shape
from baselines.realm.shape import EncoderShape
from baselines.realm.tokenizer import Tokenizer


class BothWays(torch.nn.Module):
    """One block forwards, one backwards in time, and a projection of both."""

    def __init__(self, shape: Mamba2Shape):
        super().__init__()
        self.forwards, self.backwards = Mamba2Block(shape), Mamba2Block(shape)
        self.merge = torch.nn.Linear(2 * shape.width, shape.width)
        self.norm = torch.nn.LayerNorm(shape.width)

    def forward(self, x: Any) -> Any:
        backwards = self.backwards(x.flip(1)).flip(1)
        return self.norm(self.merge(torch.cat([self.forwards(x), backwards], dim=-1)))


class Layer(torch.nn.Module):
    """x + mixer(norm(x)); in training the sum is left out for a share `drop_path` of the windows."""

    def __init__(self, shape: EncoderShape, drop_path: float):
        super().__init__()
        self.norm = torch.nn.LayerNorm(shape.width)
        self.mixer = BothWays(shape.block()) if shape.both_ways else Mamba2Block(shape.block())
        self.dropout, self.drop_path = torch.nn.Dropout(shape.dropout), drop_path

    def forward(self, x: Any) -> Any:
        added = self.dropout(self.mixer(self.norm(x)))
        if self.training and self.drop_path:
            kept = torch.rand(len(x), 1, 1, device=x.device) >= self.drop_path
            added = added * kept / (1 - self.drop_path)
        return x + added


class Backbone(torch.nn.Module):
    """(batch, n_bins, width) tokens -> the same shape."""

    def __init__(self, shape: EncoderShape):
        super().__init__()
        rates = torch.linspace(0, shape.drop_path, shape.n_layers).tolist()
        self.layers = torch.nn.ModuleList([Layer(shape, rate) for rate in rates])
        self.norm = torch.nn.LayerNorm(shape.width)

    def hidden(self, tokens: Any) -> Any:
        """What the last layer gives, before the final normalisation."""
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens

    def forward(self, tokens: Any) -> Any:
        return self.norm(self.hidden(tokens))


class Encoder(torch.nn.Module):
    """(batch, n_bins, n_channels) standardised voltages -> (batch, n_bins, width) embeddings."""

    def __init__(self, shape: EncoderShape):
        super().__init__()
        self.shape = shape
        self.tokenizer, self.backbone = Tokenizer(shape), Backbone(shape)

    def hidden(self, x: Any, present: Any) -> Any:
        """Embeddings before the final normalisation: what a student learns from its teacher."""
        return self.backbone.hidden(self.tokenizer(x, present))

    def forward(self, x: Any, present: Any) -> Any:
        return self.backbone(self.tokenizer(x, present))
