"""A loop for stages of pretraining: batches, learning rate, early stopping, and going on after an interruption.

Every update draws from its own number and the seed, so an interrupted training that is resumed gives the same weights.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from baselines.parts import part
from harness.optimiser import AdamW, descend

SAVE_EVERY_S = 60.0
FIRST_SHARE = 0.3
"""Of the peak learning rate, where the rise begins."""


@dataclass(frozen=True)
class Recipe:
    """How a stage of training goes about it; its length is counted in updates.

    most_epochs: Limit for little material.
    batch_windows: Windows in an update.
    warm_up: Share of the updates in which the learning rate rises from 0.3 of its peak.
    decay, final: How it falls to this share of its peak.
    check_every: Updates between two looks at the loss on windows that are held out.
    patience: Looks without a better loss before it stops early.
    keeps_start: Whether the weights that training begins with are a candidate too: they stay if nothing does better on
        what is held out.
    """

    updates: int
    most_epochs: int
    batch_windows: int
    learning_rate: float
    warm_up: float
    decay: Literal["cosine", "geometric"]
    final: float
    check_every: int
    patience: int
    weight_decay: float = 1e-5
    clip_norm: float = 1.0
    keeps_start: bool = False


@dataclass(frozen=True)
class Objective:
    """What is trained, and on what.

    loss: (numbers of windows, generator) -> scalar tensor; it looks at `module.training` where that matters.
    learned, held_out: Numbers of windows; `held_out` may be empty.
    """

    module: Any
    loss: Callable[[np.ndarray, np.random.Generator], Any]
    learned: np.ndarray
    held_out: np.ndarray


class Training:
    """One training run, and all that is needed to go on with it."""

    def __init__(self, objective: Objective, recipe: Recipe, *, seed: int):
        self.objective, self.recipe, self.seed = objective, recipe, seed
        self.per_epoch = max(1, math.ceil(len(objective.learned) / recipe.batch_windows))
        self.n_updates = min(recipe.updates, recipe.most_epochs * self.per_epoch)
        self.weights = [w for w in objective.module.parameters() if w.requires_grad]
        self.optimiser = AdamW(self.weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        self.done, self.looks_since, self.best_loss = 0, 0, math.inf
        self.best = copy.deepcopy(objective.module.state_dict())

    def run(self, checkpoint: Any) -> float:
        """Train to the end; the module is left with the weights that did best on what is held out, in eval mode.

        checkpoint: As `harness.Decoder.checkpoint`.

        Returns:
            Loss on the held-out windows, or of the last update if there are none.
        """
        if arrays := checkpoint.load():
            self.resume(arrays)
        elif self.recipe.keeps_start and len(self.objective.held_out):
            self.best_loss = self.held_out_loss()
        saved_at, loss = time.monotonic(), math.nan
        while not self.over:
            loss = self.update()
            self.look(loss)
            checkpoint.report(self.done, self.n_updates, loss)
            if time.monotonic() - saved_at > SAVE_EVERY_S:
                checkpoint.save(self.arrays())
                saved_at = time.monotonic()
        self.objective.module.load_state_dict(self.best)
        self.objective.module.eval()
        return self.best_loss

    @property
    def over(self) -> bool:
        """Whether all updates are done, or nothing has become better for too long."""
        return self.done >= self.n_updates or self.looks_since >= self.recipe.patience

    def update(self) -> float:
        """One step of the optimiser; returns its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * rate(self.done / self.n_updates, self.recipe)
        self.objective.module.train()
        torch.manual_seed(int(np.random.default_rng([self.seed, self.done]).integers(2**62)))
        loss = self.objective.loss(self._windows(), np.random.default_rng([self.seed, self.done, 1]))
        value = descend(loss, self.weights, self.optimiser, self.recipe.clip_norm)
        self.done += 1
        return value

    def look(self, loss: float) -> None:
        """Every so often, measure what is held out and keep the weights if they are the best so far."""
        module, last = self.objective.module, self.done >= self.n_updates
        if not last and self.done % self.recipe.check_every:
            return
        held_out = self.held_out_loss()
        if math.isnan(held_out):
            self.best_loss, self.best = loss, copy.deepcopy(module.state_dict())
            return
        self.looks_since = 0 if held_out < self.best_loss else self.looks_since + 1
        if not self.looks_since:
            self.best_loss, self.best = held_out, copy.deepcopy(module.state_dict())

    def held_out_loss(self) -> float:
        """Mean loss on the held-out windows, hidden and drawn alike at every look; NaN if there are none."""
        numbers, size = self.objective.held_out, self.recipe.batch_windows
        self.objective.module.eval()
        rng, total = np.random.default_rng(self.seed), 0.0
        with torch.no_grad():
            for batch in (numbers[i : i + size] for i in range(0, len(numbers), size)):
                total += self.objective.loss(batch, rng).item() * len(batch)
        return total / len(numbers) if len(numbers) else math.nan

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights, best weights, the optimiser's state and the counters."""
        found = {"counters": np.array([self.done, self.looks_since]), "best_loss": np.array(self.best_loss)}
        for name, weights in (("now", self.objective.module.state_dict()), ("best", self.best)):
            found |= {f"{name}.{key}": weight.cpu().numpy() for key, weight in weights.items()}
        for i, moments in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{i}.{key}": value.cpu().numpy() for key, value in moments.items()}
        return found

    def resume(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Undo `arrays`."""
        self.done, self.looks_since = map(int, arrays["counters"])
        self.best_loss = float(arrays["best_loss"])
        tensors = {key: torch.from_numpy(np.array(array)) for key, array in arrays.items()}
        self.objective.module.load_state_dict(part(tensors, "now."))
        like = self.objective.module.state_dict()
        self.best = {key: weight.to(like[key].device) for key, weight in part(tensors, "best.").items()}
        moments: dict[int, dict[str, Any]] = {}
        for key, tensor in part(tensors, "optimiser.").items():
            i, name = key.split(".")
            moments.setdefault(int(i), {})[name] = tensor
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": moments})

    def _windows(self) -> np.ndarray:
        """Windows of the coming update: each epoch goes through all of them in an order of its own."""
        epoch, i = divmod(self.done, self.per_epoch)
        order = np.random.default_rng([self.seed, epoch, 2]).permutation(self.objective.learned)
        return order[i * self.recipe.batch_windows :][: self.recipe.batch_windows]


def rate(progress: float, recipe: Recipe) -> float:
    """Learning rate over its peak: a linear rise, then a fall to `recipe.final`; progress from 0 to 1."""
    if progress < recipe.warm_up:
        return FIRST_SHARE + (1 - FIRST_SHARE) * progress / recipe.warm_up
    fallen = (progress - recipe.warm_up) / (1 - recipe.warm_up)
    if recipe.decay == "geometric":
        return recipe.final**fallen
    return recipe.final + (1 - recipe.final) * 0.5 * (1 + math.cos(math.pi * fallen))


class Stage:
    """One of several trainings in a row that share a decoder's only checkpoint.

    Args:
        checkpoint: As `harness.Decoder.checkpoint`.
        number: Of this training, from 0.
        n_stages: In the row.
    """

    def __init__(self, checkpoint: Any, number: int, n_stages: int):
        self._checkpoint, self._number, self._n_stages = checkpoint, number, n_stages

    @property
    def is_past(self) -> bool:
        """Whether an earlier, interrupted attempt had come to a later stage, which holds what this one learned."""
        kept = self._checkpoint.load()
        return bool(kept) and int(kept["stage"]) > self._number

    def load(self) -> dict[str, np.ndarray] | None:
        """What an earlier attempt saved in this very stage."""
        kept = self._checkpoint.load()
        return kept if kept and int(kept["stage"]) == self._number else None

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays, with the number of this stage."""
        self._checkpoint.save({**arrays, "stage": np.array(self._number)})

    def report(self, done: int, total: int, loss: float = math.nan) -> None:
        """Progress in thousandths of a stage, so that the row has one bar."""
        thousandths = 1000 * self._number + 1000 * done // total
        self._checkpoint.report(thousandths, 1000 * self._n_stages, loss)


def device_to_train_on() -> str:
    """A GPU if there is one. On it the order of sums is not fixed: PyTorch has no other for some kernels used here."""
    found = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_deterministic_debug_mode("error" if found == "cpu" else "default")
    return found
