"""One training loop for networks in PyTorch, and the same numbers in every process.

Its names are those of `harness.torch_decoder` too, where decoder authors find them.
"""

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.errors import DecoderError
from harness.optimiser import AdamW, descend


@dataclass(frozen=True)
class Segment:
    """An unbroken stretch of training material, in the network's own units.

    features: (n_bins, n_features) float32.
    targets: (n_bins, n_outputs) float32, finite; any number where `scored` is false.
    scored: (n_bins,) bool; the loss looks at these bins only.
    """

    features: np.ndarray
    targets: np.ndarray
    scored: np.ndarray


@dataclass(frozen=True)
class Schedule:
    """How `train` goes about it. Its length is counted in updates, so that its time is known for any recording.

    window_bins: Segments are cut into windows of this length, at another random offset in every epoch.
    warm_up_bins: Bins before a window that the network sees and the loss does not.
    learning_rate: Peak of one cycle: a linear rise over a tenth of the updates, then half a cosine.
    averaging: Decay per update of the running mean of the weights, which is what is validated and kept.
    check_every: Updates between two looks at the validation score.
    patience: Looks without a better score before it stops early.
    """

    window_bins: int = 100
    warm_up_bins: int = 0
    batch_size: int = 16
    updates: int = 300
    learning_rate: float = 6e-3
    weight_decay: float = 1e-2
    averaging: float = 0.98
    clip_norm: float = 1.0
    check_every: int = 25
    patience: int = 8


@dataclass(frozen=True)
class Batch:
    """Windows padded to one length; features and targets (batch, n_bins, ...), weights (batch, n_bins, 1) 0 or 1."""

    features: Any
    targets: Any
    weights: Any

    def to(self, device: Any) -> "Batch":
        """The same batch there."""
        return Batch(self.features.to(device), self.targets.to(device), self.weights.to(device))


def repeatable(seed: int) -> None:
    """One seed, one thread, deterministic kernels."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    # Not `use_deterministic_algorithms`: it also loads the compiler, which takes as long as PyTorch itself.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # Nothing here reads what it has not written.


def run(network: Any, features: np.ndarray) -> np.ndarray:
    """One segment through a network without dropout: (n_bins, n_features) -> (n_bins, n_outputs) float32."""
    network.eval()
    with torch.inference_mode():
        outputs: np.ndarray = network(torch.from_numpy(features)[None].to(device_of(network)))[0].cpu().numpy()
    return outputs


def device_of(network: Any) -> Any:
    """Where a network's weights are."""
    return next((weight.device for weight in network.parameters()), torch.device("cpu"))


def train(
    network: Any,
    segments: Sequence[Segment],
    validation: Sequence[Segment],
    *,
    schedule: Schedule,
    seed: int,
) -> float:
    """Fit a network in place to the scored bins of segments: AdamW, mean squared error, early stopping.

    The network ends with the averaged weights that did best on `validation`, or with the last ones if nothing there
    can be scored.

    Returns:
        Mean R2 over outputs on validation; -inf if nothing there can be scored.

    Raises:
        DecoderError: If there is no scored bin, or the loss is not finite.
    """
    optimiser = AdamW(network.parameters(), weight_decay=schedule.weight_decay)
    source = batches(segments, schedule, np.random.default_rng(seed))
    averaged = copy.deepcopy(network)
    best_score, best_weights, looks_since = -math.inf, averaged.state_dict(), 0
    for update in range(schedule.updates):
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate * one_cycle(update / schedule.updates)
        _update(network.train(), next(source).to(device_of(network)), optimiser, schedule.clip_norm)
        average(averaged, network, min(schedule.averaging, update / (update + 10)))
        last = update == schedule.updates - 1
        if not last and (update + 1) % schedule.check_every:
            continue
        score = mean_r2(averaged, validation)
        looks_since = 0 if score > best_score else looks_since + 1
        if not looks_since or math.isinf(score):
            best_score, best_weights = score, copy.deepcopy(averaged.state_dict())
        elif looks_since >= schedule.patience:
            break
    network.load_state_dict(best_weights)
    network.eval()
    return best_score


def one_cycle(progress: float) -> float:
    """Learning rate over its peak: a linear rise until a tenth of the way, then half a cosine down to 0."""
    if progress < 0.1:
        return 0.1 + 9 * progress
    return 0.5 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9))


def batches(segments: Sequence[Segment], schedule: Schedule, rng: np.random.Generator) -> Iterator[Batch]:
    """Shuffled batches of windows, epoch after epoch without end.

    Raises:
        DecoderError: If no segment has a scored bin.
    """
    if not any(s.scored.any() for s in segments):
        raise DecoderError(f"{len(segments)} training segments hold no scored bin; a network needs at least one")
    while True:
        windows = [w for s in segments for w in _windows(s, schedule, int(rng.integers(schedule.window_bins)))]
        order = rng.permutation(len(windows))
        for i in range(0, len(order), schedule.batch_size):
            yield _batch([windows[j] for j in order[i : i + schedule.batch_size]])


def mean_r2(network: Any, segments: Sequence[Segment]) -> float:
    """Mean over outputs of 1 - SSE / SST on scored bins, constant outputs left out; -inf if none is left."""
    scored = [s for s in segments if s.scored.any()]
    if not scored:
        return -math.inf
    targets = np.concatenate([s.targets[s.scored] for s in scored]).astype(np.float64)
    answers = np.concatenate([run(network, s.features)[s.scored] for s in scored])
    total = np.sum((targets - targets.mean(axis=0)) ** 2, axis=0)
    residual = np.sum((targets - answers) ** 2, axis=0)
    varies = total > 0
    return float(np.mean(1 - residual[varies] / total[varies])) if varies.any() else -math.inf


def _windows(segment: Segment, schedule: Schedule, offset: int) -> Iterator[Segment]:
    """The segment cut at `offset` and every `window_bins` after it, each with its warm-up in front."""
    edges = [0, *range(offset, len(segment.scored), schedule.window_bins), len(segment.scored)]
    for start, stop in itertools.pairwise(edges):
        if segment.scored[start:stop].any():
            first = max(0, start - schedule.warm_up_bins)
            scored = segment.scored[first:stop].copy()
            scored[: start - first] = False
            yield Segment(segment.features[first:stop], segment.targets[first:stop], scored)


def _batch(windows: Sequence[Segment]) -> Batch:
    def padded(arrays: list[np.ndarray]) -> Any:
        shape = (len(arrays), max(map(len, arrays)), *arrays[0].shape[1:])
        block = np.zeros(shape, np.float32)
        for row, array in zip(block, arrays, strict=True):
            row[: len(array)] = array
        return torch.from_numpy(block)

    return Batch(
        padded([w.features for w in windows]),
        padded([w.targets for w in windows]),
        padded([w.scored[:, None] for w in windows]),
    )


def _update(network: Any, batch: Batch, optimiser: Any, clip_norm: float) -> None:
    error = (network(batch.features) - batch.targets) ** 2 * batch.weights
    loss = error.sum() / (batch.weights.sum() * error.shape[-1])
    descend(loss, network.parameters(), optimiser, clip_norm)


def average(averaged: Any, network: Any, decay: float) -> None:
    """Move a running mean of weights towards the network's; counters and flags are copied."""
    with torch.no_grad():
        for mean, now in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)
