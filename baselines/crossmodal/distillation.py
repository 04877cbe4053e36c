"""A student of LFP learns to say what a teacher of spikes says of the same bins, and to keep what it saw itself."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from baselines.crossmodal.encoder import Encoder
from baselines.crossmodal.training import Batch

Aim = Literal["lfp", "behaviour"]


@dataclass(frozen=True)
class Weights:
    """Of the losses: the direction of the teacher's latents against a second aim of weight 1.

    second: "lfp": the standardised LFP of the bin itself, without labels. "behaviour": the standardised targets.
    """

    cosine: float
    second: Aim


class Student(torch.nn.Module):
    """An encoder with a linear map to its second aim, which only training needs. `forward` is the loss."""

    def __init__(self, encoder: Encoder, n_outputs: int, weights: Weights):
        super().__init__()
        self.encoder, self.weights = encoder, weights
        self.head = torch.nn.Linear(encoder.shape.width, n_outputs)

    def forward(self, batch: Batch) -> Any:
        latents = self.encoder(batch.values, batch.key)
        answers = self.head(latents)
        if self.weights.second == "lfp":
            loss = torch.mean((answers[..., : batch.values.shape[-1]] - batch.values) ** 2)
        else:
            loss = scored_mean((answers - batch.aims["behaviour"]) ** 2, batch.aims["scored"])
        if self.weights.cosine:
            loss = loss + self.weights.cosine * misalignment(latents, batch.aims["latents"])
        return loss


def misalignment(latents: Any, wanted: Any) -> Any:
    """1 - mean cosine between two sequences of latents, (batch, n_bins, width) each."""
    return 1 - torch.nn.functional.cosine_similarity(latents, wanted, dim=-1).mean()


def scored_mean(errors: Any, scored: Any) -> Any:
    """Mean over scored bins and outputs; 0 where nothing is scored. errors: (batch, n_bins, n_outputs)."""
    return (errors * scored).sum() / (scored.sum() * errors.shape[-1]).clamp(min=1)
