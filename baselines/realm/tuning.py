"""Third stage with labels: a fresh linear head, and the backbone or the whole network trained on behaviour."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from baselines.features import scored_targets
from baselines.pretraining import device_to_train_on
from baselines.realm.encoder import Encoder
from baselines.ridge import Linear
from harness import Recording
from harness.torch_decoder import Schedule, Segment, train

MOST_EPOCHS = 100
"""Passes over the scored bins: little material needs few updates."""


@dataclass(frozen=True)
class Labelled:
    """A recording as the trained part of the network reads it: rows (n_bins, n_features) float32."""

    rows: np.ndarray
    recording: Recording


class WithHead(torch.nn.Module):
    """(batch, n_bins, n_features) -> (batch, n_bins, n_outputs).

    body: What comes before the head, from rows to embeddings.
    """

    def __init__(self, body: Any, width: int, n_outputs: int):
        super().__init__()
        self.body, self.head = body, torch.nn.Linear(width, n_outputs)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x))


class Masked(torch.nn.Module):
    """An encoder for one session, whose channels are known."""

    def __init__(self, encoder: Encoder, present: np.ndarray):
        super().__init__()
        self.encoder = encoder
        self.register_buffer("present", torch.from_numpy(present), persistent=False)

    def forward(self, x: Any) -> Any:
        return self.encoder(x, self.present)


def tune(
    body: Any,
    learned: Sequence[Labelled],
    validation: Sequence[Labelled],
    *,
    width: int,
    schedule: Schedule,
    seed: int,
) -> Linear:
    """Train a body in place together with a head, which is returned in the unit of the targets.

    Returns:
        weights (n_outputs, width) and intercept (n_outputs,).
    """
    targets = scored_targets([one.recording for one in learned])
    offset, sd = targets.mean(axis=0), targets.std(axis=0)
    sd = np.where(sd > 0, sd, 1)
    torch.manual_seed(seed)
    model = WithHead(body, width, targets.shape[1])
    parts = [[s for one in part for s in _segments(one, offset, sd)] for part in (learned, validation)]
    n_windows = sum(int(segment.scored.sum()) for segment in parts[0]) / schedule.window_bins
    updates = min(schedule.updates, MOST_EPOCHS * math.ceil(n_windows / schedule.batch_size))
    train(model.to(device_to_train_on()), parts[0], parts[1], schedule=replace(schedule, updates=updates), seed=seed)
    model.cpu()
    weight, bias = (w.detach().numpy().astype(np.float64) for w in (model.head.weight, model.head.bias))
    return Linear(weight * sd[:, None], bias * sd + offset)


def _segments(one: Labelled, offset: np.ndarray, sd: np.ndarray) -> list[Segment]:
    recording = one.recording
    targets = np.nan_to_num((recording.targets - offset) / sd).astype(np.float32)
    return [Segment(one.rows[s], targets[s], recording.scored[s]) for s in recording.inputs.segments()]
