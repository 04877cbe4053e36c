"""The loop that trains networks of windows: cross entropy, random windows of each trial, early stopping."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.eeg_networks.trials import Trials
from harness import HarnessError
from harness.optimiser import AdamW, descend
from harness.torch_decoder import average, one_cycle

CHUNK = 64


@dataclass(frozen=True)
class Recipe:
    """How long and how fast.

    updates, epochs: Whichever ends sooner; an epoch shows one window of every trial.
    averaging: Decay per update of the running mean of the weights, which is what is validated and kept.
    check_every: Updates between two looks at the held-out loss.
    patience: Looks without a lower loss before it stops early, in the second half: while the learning rate rises, some
        networks learn nothing that can be seen.
    frozen: Normalise by what was measured before, without dropout: for a few updates on a few trials.
    """

    updates: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 1e-2
    averaging: float = 0.95
    clip_norm: float = 1.0
    check_every: int = 20
    patience: int = 5
    frozen: bool = False

    def n_updates(self, n_trials: int) -> int:
        """How many there are for so many trials."""
        return max(1, min(self.updates, self.epochs * math.ceil(n_trials / self.batch_size)))


def learn(network: Any, trials: Trials, held_out: Trials, *, recipe: Recipe, seed: int) -> float:
    """Fit a network in place.

    It ends with the averaged weights that did best on `held_out`, or with the last ones if nothing is held out.
    `network.constrain()` is called after every update.

    Returns:
        Cross entropy on `held_out`, natural logarithm; infinite if it is empty.

    Raises:
        HarnessError: If there is no trial, or the loss is not finite.
    """
    if not len(trials):
        raise HarnessError("the training recordings hold no scored bin; check the suite's split and decision times")
    optimiser = AdamW(network.parameters(), weight_decay=recipe.weight_decay)
    source, n_updates = batches(trials, recipe.batch_size, np.random.default_rng(seed)), recipe.n_updates(len(trials))
    averaged = copy.deepcopy(network).eval()
    best_loss, best, looks_since = math.inf, averaged.state_dict(), 0
    for update in range(n_updates):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * one_cycle(update / n_updates)
        _update(network.train(not recipe.frozen), next(source), optimiser, recipe.clip_norm)
        average(averaged, network, min(recipe.averaging, (update + 1) / (update + 10)))
        last = update == n_updates - 1
        if not last and (update + 1) % recipe.check_every:
            continue
        loss = held_out_loss(averaged, held_out)
        looks_since = 0 if loss < best_loss else looks_since + 1
        if not looks_since or math.isinf(loss):
            best_loss, best = loss, copy.deepcopy(averaged.state_dict())
        elif looks_since >= recipe.patience and update >= n_updates // 2:
            break
    network.load_state_dict(best)
    network.eval()
    return best_loss


def batches(trials: Trials, size: int, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
    """Shuffled batches without end: windows (batch, n_channels, n_samples) and their classes (batch,)."""
    while True:
        order = rng.permutation(len(trials))
        for some in (order[i : i + size] for i in range(0, len(order), size)):
            windows = trials.windows(some, trials.any_ends(some, rng))
            yield torch.from_numpy(windows), torch.from_numpy(trials.labels[some])


def held_out_loss(network: Any, trials: Trials) -> float:
    """Mean cross entropy of windows at the decision and halfway to the latest end; infinite without a trial."""
    total, n_windows = 0.0, 0
    network.eval()
    for end in (trials.reach.n_earlier, trials.reach.n_earlier + trials.reach.n_later // 2):
        usable = np.flatnonzero(trials.usable[:, end])
        for some in (usable[i : i + CHUNK] for i in range(0, len(usable), CHUNK)):
            windows = torch.from_numpy(trials.windows(some, np.full(len(some), end)))
            with torch.inference_mode():
                scores = network(windows)
            labels = torch.from_numpy(trials.labels[some])
            total += float(torch.nn.functional.cross_entropy(scores, labels, reduction="sum"))
            n_windows += len(some)
    return total / n_windows if n_windows else math.inf


def _update(network: Any, batch: tuple[Any, Any], optimiser: Any, clip_norm: float) -> None:
    loss = torch.nn.functional.cross_entropy(network(batch[0]), batch[1])
    descend(loss, network.parameters(), optimiser, clip_norm)
    network.constrain()
