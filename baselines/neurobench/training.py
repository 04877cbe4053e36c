"""Training of the recurrent spiking networks: root mean squared error, a cap on rates, pruning on the way."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.neurobench.smorms3 import Smorms3
from harness.optimiser import descend
from harness.torch_decoder import Batch, Schedule, Segment, batches, mean_r2

PRUNING_ROUNDS = 10
"""After the first one; spread over the first half of training."""


@dataclass(frozen=True)
class Recipe:
    """What is asked of a network besides few errors.

    rate_cap: Mean spikes per bin of a unit that cost nothing; None: rates are free.
    rate_weight: Cost of the square of a bin's spikes above that, mean over units.
    first_sparsity, sparsity: Share of the weights that are zero in the first and in the last round of pruning.
    """

    rate_cap: float | None = None
    rate_weight: float = 0.0
    first_sparsity: float = 0.0
    sparsity: float = 0.0

    def share(self, i_round: int) -> float:
        """Share of zeros after round 0 .. PRUNING_ROUNDS."""
        return self.first_sparsity + (self.sparsity - self.first_sparsity) * i_round / PRUNING_ROUNDS


def learn(
    network: Any,
    segments: Sequence[Segment],
    validation: Sequence[Segment],
    *,
    schedule: Schedule,
    recipe: Recipe,
    seed: int,
) -> None:
    """Fit in place: SMORMS3 with half a cosine of rates; ends with the weights that did best on validation, if any.

    `network.hidden` gives spikes and `network.readout` answers from them. Only weights of the last sparsity are kept.
    """
    optimiser = Smorms3(network.parameters(), lr=schedule.learning_rate)
    source = batches(segments, schedule, np.random.default_rng(seed))
    best_score, best_weights, looks_since, n_zeroings = -math.inf, network.state_dict(), 0, 0
    masks: dict[str, Any] = {}
    for update in range(schedule.updates):
        progress, last = update / schedule.updates, update == schedule.updates - 1
        optimiser.param_groups[0]["lr"] = schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        while n_zeroings <= (PRUNING_ROUNDS if last else math.floor(min(1.0, 2 * progress) * PRUNING_ROUNDS)):
            masks = masks_of(network, recipe.share(n_zeroings))
            n_zeroings += 1
        _update(network.train(), next(source), optimiser, schedule.clip_norm, recipe)
        prune(network, masks)
        if not last and (n_zeroings <= PRUNING_ROUNDS or (update + 1) % schedule.check_every):
            continue
        score = mean_r2(network, validation)
        looks_since = 0 if score > best_score else looks_since + 1
        if not looks_since or math.isinf(score):
            best_score, best_weights = score, copy.deepcopy(network.state_dict())
        elif looks_since >= schedule.patience:
            break
    network.load_state_dict(best_weights)
    network.eval()


def connections(network: Any) -> Iterator[tuple[str, Any]]:
    """The weights that NeuroBench counts as connections: matrices of linear layers."""
    return ((name, p) for name, p in network.named_parameters() if name.endswith(".weight"))


def masks_of(network: Any, sparsity: float) -> dict[str, Any]:
    """0 for the smallest weights of all matrices together, each measured by its matrix's own size; 1 for the rest."""
    sizes = {name: (p.detach() / (p.detach().std() + 1e-12)).abs() for name, p in connections(network)}
    ordered = torch.cat([size.flatten() for size in sizes.values()]).sort().values
    n_zero = round(sparsity * len(ordered))
    limit = ordered[n_zero - 1] if n_zero else -1.0
    return {name: (size > limit).float() for name, size in sizes.items()}


def prune(network: Any, masks: dict[str, Any]) -> None:
    """Set what a mask hides to zero, in place."""
    with torch.no_grad():
        for name, parameter in connections(network):
            parameter.mul_(masks[name])


def _update(network: Any, batch: Batch, optimiser: Any, clip_norm: float, recipe: Recipe) -> None:
    spikes = network.hidden(batch.features)
    error = (network.readout(spikes) - batch.targets) ** 2 * batch.weights
    loss = (error.sum() / (batch.weights.sum() * error.shape[-1]) + 1e-8).sqrt()
    if recipe.rate_cap is not None:
        excess = (spikes.mean((0, 1)) - recipe.rate_cap).clamp(min=0)
        loss = loss + recipe.rate_weight * (excess**2).mean()
    descend(loss, network.parameters(), optimiser, clip_norm)
