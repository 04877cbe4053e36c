"""Masked autoencoding: most tokens are hidden from the encoder, and a small predictor says what they held."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from baselines.crossmodal.encoder import PLACE_SD, Encoder, Reach, Trunk
from baselines.crossmodal.shape import MOST_COUNT, Shape, Signal
from baselines.crossmodal.tokens import patched

SHARE_HIDDEN = 0.6
RAREST = 1e-4
"""Least mean count that is assumed of a unit, per bin."""


@dataclass(frozen=True)
class Masking:
    """Which tokens the encoder sees. visible: (batch, n_visible) indices; hidden: (batch, n_tokens) bool."""

    visible: Any
    hidden: Any


def masking(n_windows: int, n_tokens: int, *, share: float = SHARE_HIDDEN) -> Masking:
    """Draw tokens to hide, evenly over time and patches; the same number in every window, at least one visible."""
    n_visible = max(1, n_tokens - round(share * n_tokens))
    visible = torch.rand(n_windows, n_tokens).argsort(dim=1)[:, :n_visible].sort(dim=1).values
    return Masking(visible, torch.ones(n_windows, n_tokens, dtype=torch.bool).scatter(1, visible, False))


class Predictor(torch.nn.Module):
    """Latents of the visible tokens and one learned vector for the others -> what each token held.

    Of spikes that is the logarithm of a rate over the unit's mean, of LFP the standardised value.
    """

    def __init__(self, shape: Shape, signal: Signal):
        super().__init__()
        width, self.reach_bins = shape.predictor_width, shape.predictor_reach_bins
        self.mask = torch.nn.Parameter(PLACE_SD * torch.randn(shape.width))
        self.enter, self.leave = torch.nn.Linear(shape.width, width), torch.nn.Linear(width, shape.patch(signal))
        self.trunk = Trunk(width, shape.predictor_layers, shape, n_heads=shape.n_heads)

    def forward(self, latents: Any, masked: Masking, places: Any) -> Any:
        """latents: (batch, n_visible, width); places: (n_patches, width) -> (batch, n_bins, n_patches, patch)."""
        n_tokens, n_patches = masked.hidden.shape[1], len(places)
        bins = torch.arange(n_tokens // n_patches, device=latents.device).repeat_interleave(n_patches)[None]
        fillers = (self.mask + places).repeat(n_tokens // n_patches, 1).expand(len(latents), -1, -1)
        index = masked.visible[..., None].expand(-1, -1, latents.shape[-1])
        tokens = fillers.scatter(1, index, latents)
        reach = None if self.reach_bins is None else Reach(self.reach_bins, n_patches)
        return self.leave(self.trunk(self.enter(tokens), bins, reach)).unflatten(1, (-1, n_patches))


class Autoencoder(torch.nn.Module):
    """An encoder and the predictor that trains it. `forward` is the loss.

    mean_counts: Session key -> (n_units,) of spikes, per bin. They are measured, not learned: a predictor that had to
        find the mean of each unit of each session first would learn of little else in a short training.
    """

    def __init__(self, encoder: Encoder, predictor: Predictor, mean_counts: Mapping[str, Any]):
        super().__init__()
        self.encoder, self.predictor, self.mean_counts = encoder, predictor, dict(mean_counts)

    def forward(self, values: Any, key: str) -> Any:
        """(batch, n_bins, n_channels) of a session -> mean loss over hidden entries."""
        placed = self.encoder.placed(values, key)
        n_bins, n_patches = placed.shape[1:3]
        drawn = masking(len(values), n_bins * n_patches)
        masked = Masking(drawn.visible.to(values.device), drawn.hidden.to(values.device))
        index = masked.visible[..., None].expand(-1, -1, placed.shape[-1])
        latents = self.encoder.trunk(placed.flatten(1, 2).gather(1, index), masked.visible // n_patches)
        answers = self.predictor(latents, masked, self.encoder.places[key])
        hidden = masked.hidden.unflatten(1, (n_bins, n_patches))
        if self.encoder.signal == "lfp":
            return hidden_mean(squared_loss(answers, values), values.shape[-1], hidden)
        means = patched(self.mean_counts[key].to(answers).clamp(min=RAREST), answers.shape[-1], 1)
        return hidden_mean(poisson_loss(answers + means.log(), values), values.shape[-1], hidden)


def poisson_loss(log_rates: Any, counts: Any) -> Any:
    """Negative log-likelihood without the term of the counts alone: (batch, n_bins, n_patches, patch)."""
    wanted = patched(counts.clamp(0, MOST_COUNT), log_rates.shape[-1], 0)
    return torch.nn.functional.poisson_nll_loss(log_rates, wanted, log_input=True, reduction="none")


def squared_loss(answers: Any, values: Any) -> Any:
    """Squared errors, (batch, n_bins, n_patches, patch)."""
    return (answers - patched(values, answers.shape[-1], 0)) ** 2


def hidden_mean(losses: Any, n_channels: int, hidden: Any) -> Any:
    """Mean over the channels that exist, of the tokens that were hidden.

    losses: (batch, n_bins, n_patches, patch); hidden: (batch, n_bins, n_patches) bool.
    """
    exists = torch.arange(losses.shape[2] * losses.shape[3], device=losses.device) < n_channels
    counted = hidden[..., None] & exists.view(losses.shape[2:])
    return losses[counted].mean()
