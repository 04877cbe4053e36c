"""Training with penalties for spikes and weights, and on few bits in its last third."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from baselines.hybrid_snn.network import KeypointNetwork
from baselines.hybrid_snn.quantise import BUFFERS, round_in_place, rounded_weights
from harness.optimiser import AdamW, descend
from harness.torch_decoder import Schedule, Segment, batches, mean_r2, one_cycle


@dataclass(frozen=True)
class Terms:
    """What the loss holds beside the mean squared error, and what the weights are at the end.

    spike_penalty: Per spike of a keypoint: spikes are summed over units, and averaged over keypoints and windows, so
        that it does not depend on the batch. The published one is on the total of spikes.
    weight_penalty: On the sum of absolute weights; leaks, thresholds and biases are free.
    quantised_from: Share of the updates after which weights and buffers are on their grids; 1 for never.
    """

    spike_penalty: float = 0.0
    weight_penalty: float = 0.0
    quantised_from: float = 1.0

    @property
    def quantised(self) -> bool:
        """Whether the network ends on its grids."""
        return self.quantised_from < 1

    def unrounded(self) -> "Terms":
        """The same without grids: for a network that is trained on afterwards."""
        return replace(self, quantised_from=1.0)

    def rounded_at_once(self) -> "Terms":
        """The same from the first update on, if on grids at all: for a network that is there already."""
        return replace(self, quantised_from=0.0) if self.quantised else self


def train(
    network: KeypointNetwork, parts: Sequence[Sequence[Segment]], *, schedule: Schedule, terms: Terms, seed: int
) -> float:
    """Fit a network in place, as `harness.torch_decoder.train` does, with further terms.

    parts: Training and validation segments. Only weights of the last kind, on the grids or not, are ever kept.

    Returns:
        Mean R2 over outputs on validation; -inf if nothing there can be scored.
    """
    course = _Course(network, schedule, terms)
    source = batches(parts[0], schedule, np.random.default_rng(seed))
    for update in range(schedule.updates):
        course.update(next(source), update)
        last = update == schedule.updates - 1
        if (last or (update + 1) % schedule.check_every == 0) and course.look(parts[1], update):
            break
    network.load_state_dict(course.best_weights)
    network.eval()
    return course.best_score


class _Course:
    """A training under way."""

    def __init__(self, network: KeypointNetwork, schedule: Schedule, terms: Terms):
        self.network, self.schedule, self.terms = network, schedule, terms
        self.averaged = copy.deepcopy(network)
        self.first_quantised = math.floor(schedule.updates * terms.quantised_from)
        self.best_score, self.best_weights, self.looks_since = -math.inf, network.state_dict(), 0
        learned = [p for p in network.parameters() if p.requires_grad]
        self.optimiser = AdamW(learned, weight_decay=schedule.weight_decay)

    def update(self, batch: Any, update: int) -> None:
        """One step down, and the running mean of the weights after it."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.learning_rate * one_cycle(update / self.schedule.updates)
        loss = self._loss(batch, quantised=update >= self.first_quantised)
        descend(loss, self.network.parameters(), self.optimiser, self.schedule.clip_norm)
        with torch.no_grad():
            decay = min(self.schedule.averaging, update / (update + 10))
            for mean, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)

    def look(self, validation: Sequence[Segment], update: int) -> bool:
        """Keep the averaged weights if they are the best; true if it is time to stop."""
        quantised, candidate = update + 1 > self.first_quantised, copy.deepcopy(self.averaged)
        if not quantised and self.first_quantised < self.schedule.updates:
            return False
        if quantised:
            round_in_place(candidate)
            put_on_grid(candidate)
        score = mean_r2(candidate, validation)
        self.looks_since = 0 if score > self.best_score else self.looks_since + 1
        if not self.looks_since or math.isinf(score):
            self.best_score, self.best_weights = score, candidate.state_dict()
        return self.looks_since >= self.schedule.patience and not math.isinf(score)

    def _loss(self, batch: Any, *, quantised: bool) -> Any:
        network, weights = self.network.train(), dict(self.network.named_parameters())
        if quantised:
            put_on_grid(network)
            answers = torch.func.functional_call(network, rounded_weights(weights), batch.features)
        else:
            answers = network(batch.features)
        error = (answers - batch.targets) ** 2 * batch.weights
        loss = error.sum() / (batch.weights.sum() * error.shape[-1])
        loss = loss + self.terms.spike_penalty * network.recurrence.n_spikes
        network.recurrence.n_spikes = torch.zeros(())  # a module that holds a gradient cannot be copied
        if self.terms.weight_penalty:
            loss = loss + self.terms.weight_penalty * sum(w.abs().sum() for w in weights.values() if w.ndim > 1)
        return loss


def put_on_grid(network: KeypointNetwork) -> None:
    """From now on, what the network holds from bin to bin is on the grid of buffers."""
    network.front.on_grid = BUFFERS.straight_through
    for layer in network.recurrence.layers:
        layer.on_grid = BUFFERS.straight_through


def scale_to(network: KeypointNetwork, features: np.ndarray) -> None:
    """Scale the first weights so that each convolution gives a mean of 0 and a deviation of 1 on these features.

    Spikes are rare: at the usual first weights hardly a unit would ever fire. Fields of silent units stay as they are.

    features: (n_bins, n_units); the first few thousand bins of training.
    """
    columns = torch.from_numpy(features)[None].mT
    with torch.no_grad():
        for convolution in network.front.convolutions:
            if columns.shape[-1] <= convolution.kernel_size[0]:
                return  # a deviation needs two columns
            outputs = convolution(columns)
            sd = outputs.std(dim=(0, 2))
            gain = torch.where(sd > 1e-4, 1 / sd.clamp(min=1e-4), 1.0)
            mean = outputs.mean(dim=(0, 2))
            convolution.weight.mul_(gain[:, None, None])
            convolution.bias.copy_((convolution.bias - mean) * gain)
            columns = torch.nn.functional.max_pool1d((outputs - mean[:, None]) * gain[:, None], 2, 1)
