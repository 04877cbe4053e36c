"""Channels of one bin become a few tokens: patches of spike counts, patches of LFP with their last bins."""

from typing import Any, Literal

import torch

from baselines.crossmodal.shape import MOST_COUNT, Shape

ConvOver = Literal["time", "flat"]
PADDING = MOST_COUNT + 1


def patched(values: Any, patch: int, fill: float) -> Any:
    """(batch, n_bins, n_channels) -> (batch, n_bins, n_patches, patch), the last patch filled up."""
    missing = -values.shape[-1] % patch
    return torch.nn.functional.pad(values, (0, missing), value=fill).unflatten(-1, (-1, patch))


class SpikeTokens(torch.nn.Module):
    """Each clipped count looks a short vector up; those of a patch side by side are its token."""

    def __init__(self, shape: Shape):
        super().__init__()
        if shape.width % shape.spike_patch:
            raise ValueError(f"patches of {shape.spike_patch} units do not divide a width of {shape.width}; one must")
        self.patch = shape.spike_patch
        self.counts = torch.nn.Embedding(PADDING + 1, shape.width // shape.spike_patch)
        # Before training a count's vector is about its number, so that tokens begin as the counts themselves.
        with torch.no_grad():
            self.counts.weight.mul_(0.1).add_(torch.arange(PADDING + 1.0).remainder(PADDING)[:, None])
            self.counts.weight.mul_(shape.count_scale)

    def forward(self, counts: Any) -> Any:
        """(batch, n_bins, n_units) counts -> (batch, n_bins, n_patches, width)."""
        ids = patched(counts.clamp(0, MOST_COUNT), self.patch, PADDING).long()
        return self.counts(ids).flatten(-2)


class LfpTokens(torch.nn.Module):
    """A causal convolution over the patch's channels, `dilation_bins` between its taps.

    over: "time": taps look at the same patch in earlier bins. "flat": at earlier tokens in the order bin, patch, as
        the reference code has it, so that they mix patches.
    """

    def __init__(self, shape: Shape, *, over: ConvOver):
        super().__init__()
        self.shape, self.over = shape, over
        self.mix = torch.nn.Linear(shape.taps * shape.lfp_patch, shape.width)

    def forward(self, values: Any) -> Any:
        """(batch, n_bins, n_channels) -> (batch, n_bins, n_patches, width)."""
        x = patched(values, self.shape.lfp_patch, 0)
        n_patches, flat = x.shape[2], x.flatten(1, 2)
        past = [delayed(flat, k * spacing(self.shape, self.over, n_patches)) for k in range(self.shape.taps)]
        return self.mix(torch.cat(past, dim=-1)).unflatten(1, (-1, n_patches))


def spacing(shape: Shape, over: ConvOver, n_patches: int) -> int:
    """Tokens between two taps, in the order bin, patch: whole bins of them for a convolution over time."""
    return shape.dilation_bins * (n_patches if over == "time" else 1)


def delayed(rows: Any, n: int) -> Any:
    """(batch, n_rows, width): each row is what it was `n` rows ago, 0 before the first."""
    return torch.nn.functional.pad(rows, (0, 0, n, 0))[:, : rows.shape[1]]
