"""From the voltages of a bin to one token: a short convolution, attention over channels, a projection."""

from typing import Any

import torch

from baselines.realm.shape import ATTENTION_TAPS, CONVOLUTION_TAPS, EncoderShape


class Tokenizer(torch.nn.Module):
    """(batch, n_bins, n_channels) -> (batch, n_bins, width).

    Each channel goes through the same convolution in time. How loud a channel's features are on average, and its
    neighbours', decides how much it counts (efficient channel attention, Wang et al. 2020, 10.48550/arXiv.1910.03151):
    on average over the whole window if the encoder looks both ways, over what has passed of it if not.
    """

    def __init__(self, shape: EncoderShape):
        super().__init__()
        self.both_ways = shape.both_ways
        self.convolution = torch.nn.Conv1d(1, shape.channel_features, CONVOLUTION_TAPS)
        self.attention = torch.nn.Conv1d(1, 1, ATTENTION_TAPS, padding=ATTENTION_TAPS // 2, bias=False)
        self.merge = torch.nn.Linear(shape.n_channels * shape.channel_features, shape.width)
        self.norm = torch.nn.LayerNorm(shape.width)

    def forward(self, x: Any, present: Any) -> Any:
        """present: (n_channels,) or (batch, n_channels), 1 where there is a channel and 0 where there is none."""
        features = self.features(x) * present[..., None, :, None]
        weights = self.weights(features.mean(dim=-1))
        return self.norm(self.merge((features * weights[..., None]).flatten(2)))

    def features(self, x: Any) -> Any:
        """(batch, n_bins, n_channels, channel_features)."""
        n_after = 1 if self.both_ways else 0
        padded = torch.nn.functional.pad(x, (0, 0, CONVOLUTION_TAPS - 1 - n_after, n_after))
        # A product with three shifted copies: several times faster than a convolution of one input channel.
        shifted = torch.stack([padded[:, k : k + x.shape[1]] for k in range(CONVOLUTION_TAPS)], dim=-1)
        kernel = self.convolution.weight[:, 0]
        return torch.nn.functional.gelu(torch.nn.functional.linear(shifted, kernel, self.convolution.bias))

    def weights(self, loudness: Any) -> Any:
        """(batch, n_bins, n_channels) -> (batch, n_bins or 1, n_channels), between 0 and 1."""
        mean = loudness.mean(dim=1, keepdim=True) if self.both_ways else running_mean(loudness)
        return torch.sigmoid(self.attention(mean.flatten(0, 1)[:, None])).view(mean.shape)


def running_mean(x: Any) -> Any:
    """Mean of a bin and all bins before it, along the second axis; in float64, so that it stays exact."""
    counts = torch.arange(1, x.shape[1] + 1, dtype=torch.float64, device=x.device)
    return (x.double().cumsum(dim=1) / counts[:, None]).to(x)
