"""The one training loop of these networks: AdamW on random windows, early stopping, and an exact resumption.

Update k draws its windows, masks and dropout from (seed, k) alone. So what an interrupted run has to keep is weights,
the optimiser's moments and counters, and no generator's state.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from baselines.crossmodal.shape import Schedule
from baselines.parts import part
from harness import Decoder, HarnessError
from harness.optimiser import AdamW, descend
from harness.torch_decoder import repeatable

SAVE_EVERY_S = 60.0
WARM_UP_SHARE, FIRST_SHARE = 0.1, 0.3


@dataclass(frozen=True)
class Stretch:
    """An unbroken stretch of one session.

    values: (n_bins, n_channels) float32, what the network reads.
    aims: What it shall say, by name: (n_bins, n) float32 each.
    """

    key: str
    values: np.ndarray
    aims: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Windows of one session: values and aims are tensors (batch, n_bins, ...)."""

    key: str
    values: Any
    aims: Mapping[str, Any]


@dataclass(frozen=True)
class Lesson:
    """What is learned from what.

    module: All that is trained. loss: What a batch costs; it may draw at random from torch.
    """

    module: Any
    loss: Callable[[Batch], Any]
    material: Sequence[Stretch]
    held_out: Sequence[Stretch]
    window_bins: int
    on_gpu: bool = False


@dataclass
class _Progress:
    """Where a training is: the next update, and the best weights so far with their held-out loss."""

    best: dict[str, Any]
    update: int = 0
    looks_since: int = 0
    best_loss: float = math.inf


def learn(lesson: Lesson, schedule: Schedule, *, seed: int, checkpoint: Any = Decoder.checkpoint) -> float:
    """Train a module in place; it ends with the weights that did best on the held-out windows, or the last ones.

    Returns:
        The held-out loss; inf without held-out windows.

    Raises:
        HarnessError: If there is nothing to learn from, or the loss is not finite.
    """
    if not lesson.material:
        raise HarnessError("no stretch of a recording to train on was given; give at least one bin")
    repeatable(seed)
    device = torch.device("cuda" if lesson.on_gpu and torch.cuda.is_available() else "cpu")
    if device.type == "cuda":  # Some of its kernels have no repeatable form; the same seed gives nearly the same there.
        torch.set_deterministic_debug_mode("warn")
    module = lesson.module.to(device)
    optimiser = AdamW(module.parameters(), weight_decay=schedule.weight_decay)
    progress = _Progress(copy.deepcopy(module.state_dict()))
    _resume(checkpoint.load(), module, optimiser, progress)
    total, saved_at = n_updates(lesson, schedule), time.monotonic()
    while progress.update < total and progress.looks_since < schedule.patience:
        loss = _update(lesson, schedule, optimiser, (progress.update / total, [seed, progress.update]))
        progress.update += 1
        if progress.update % schedule.check_every == 0 or progress.update == total:
            _look(lesson, schedule, seed, progress)
            checkpoint.report(progress.update, total, loss)
        if time.monotonic() - saved_at >= SAVE_EVERY_S:
            checkpoint.save(_kept(module, optimiser, progress))
            saved_at = time.monotonic()
    module.load_state_dict(progress.best)
    module.cpu().eval()
    return progress.best_loss


def n_updates(lesson: Lesson, schedule: Schedule) -> int:
    """Updates in all: no more than so many passes over the material."""
    n_windows = sum(len(s.values) for s in lesson.material) / lesson.window_bins
    return max(1, min(schedule.updates, schedule.most_epochs * math.ceil(n_windows / schedule.batch_size)))


def rate_share(progress: float, final_share: float) -> float:
    """Learning rate over its peak at `progress` from 0 to 1."""
    if progress < WARM_UP_SHARE:
        return FIRST_SHARE + (1 - FIRST_SHARE) * progress / WARM_UP_SHARE
    return float(final_share ** ((progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)))


def draw(material: Sequence[Stretch], window_bins: int, batch_size: int, rng: np.random.Generator) -> Batch:
    """Windows of one session, which is drawn by its length; from its longest stretch where none holds a window."""
    lengths = np.array([len(s.values) for s in material])
    key = material[int(rng.choice(len(material), p=lengths / lengths.sum()))].key
    own = [s for s in material if s.key == key]
    n_bins = min(window_bins, max(len(s.values) for s in own))
    room = np.array([max(0, len(s.values) - n_bins + 1) for s in own])
    chosen = rng.choice(len(own), size=batch_size, p=room / room.sum())
    return _batch(key, [(own[i], int(rng.integers(room[i])), n_bins) for i in chosen])


def consecutive(material: Sequence[Stretch], window_bins: int, batch_size: int) -> Iterator[Batch]:
    """All whole windows one after the other, by session; of a stretch that holds none, all of it."""
    for s in material:
        n_bins = min(window_bins, len(s.values))
        windows = [(s, start, n_bins) for start in range(0, len(s.values) - n_bins + 1, n_bins)]
        for i in range(0, len(windows), batch_size):
            yield _batch(s.key, windows[i : i + batch_size])


def _batch(key: str, windows: Sequence[tuple[Stretch, int, int]]) -> Batch:
    def stacked(pick: Callable[[Stretch], np.ndarray]) -> Any:
        return torch.from_numpy(np.stack([pick(s)[start : start + n] for s, start, n in windows]))

    names = windows[0][0].aims
    return Batch(key, stacked(lambda s: s.values), {name: stacked(lambda s, n=name: s.aims[n]) for name in names})


def _moved(batch: Batch, module: Any) -> Batch:
    device = next(module.parameters()).device
    return Batch(batch.key, batch.values.to(device), {name: aim.to(device) for name, aim in batch.aims.items()})


def _update(lesson: Lesson, schedule: Schedule, optimiser: Any, when: tuple[float, list[int]]) -> float:
    rng = np.random.default_rng(when[1])
    torch.manual_seed(int(rng.integers(2**62)))
    for group in optimiser.param_groups:
        group["lr"] = schedule.learning_rate * rate_share(when[0], schedule.final_share)
    batch = draw(lesson.material, lesson.window_bins, schedule.batch_size, rng)
    loss = lesson.loss(_moved(batch, lesson.module.train()))
    return descend(loss, lesson.module.parameters(), optimiser, schedule.clip_norm)


def _look(lesson: Lesson, schedule: Schedule, seed: int, progress: _Progress) -> None:
    """Keep the weights if they do better on held-out windows, or if there are none to tell."""
    loss = held_out_loss(lesson, schedule.batch_size, seed)
    if loss < progress.best_loss or math.isinf(loss):
        progress.best, progress.looks_since = copy.deepcopy(lesson.module.state_dict()), 0
        progress.best_loss = loss
    else:
        progress.looks_since += 1


def held_out_loss(lesson: Lesson, batch_size: int, seed: int) -> float:
    """Mean loss over held-out windows with the same masks at every look; inf if there are none."""
    lesson.module.eval()
    torch.manual_seed(seed)
    found, sizes = [], []
    with torch.no_grad():
        for batch in consecutive(lesson.held_out, lesson.window_bins, batch_size):
            found.append(float(lesson.loss(_moved(batch, lesson.module)).item()))
            sizes.append(len(batch.values))
    return float(np.average(found, weights=sizes)) if found else math.inf


def _kept(module: Any, optimiser: Any, progress: _Progress) -> dict[str, np.ndarray]:
    """All that a training has to know to go on as if nothing had happened."""
    arrays = {f"now.{k}": v for k, v in module.state_dict().items()} | {
        f"best.{k}": v for k, v in progress.best.items()
    }
    moments = optimiser.state_dict()["state"]
    arrays |= {f"moments.{i}.{name}": value for i, one in moments.items() for name, value in one.items()}
    counters = np.array([progress.update, progress.looks_since, progress.best_loss])
    return {k: v.detach().cpu().numpy() for k, v in arrays.items()} | {"counters": counters}


def _resume(kept: Mapping[str, np.ndarray] | None, module: Any, optimiser: Any, progress: _Progress) -> None:
    if kept is None:
        return
    tensors = {k: torch.from_numpy(np.array(v)) for k, v in kept.items() if k != "counters"}
    module.load_state_dict(part(tensors, "now."))
    progress.best = part(tensors, "best.")
    moments: dict[int, dict[str, Any]] = {}
    for name, value in part(tensors, "moments.").items():
        i, _, field_name = name.partition(".")
        moments.setdefault(int(i), {})[field_name] = value
    optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
    update, looks_since, best_loss = kept["counters"]
    progress.update, progress.looks_since, progress.best_loss = int(update), int(looks_since), float(best_loss)
