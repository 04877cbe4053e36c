"""Choosing hyper-parameters on the validation recordings, through the very code that is judged."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from harness import Decoder, Recording

T = TypeVar("T")


def best(candidates: Sequence[T], score: Callable[[T], float]) -> T:
    """The candidate with the highest score; the first one where scores tell nothing."""
    return candidates[0] if len(candidates) == 1 else max(candidates, key=score)


def uphill(ladder: Sequence[T], start: T, score: Callable[[T], float]) -> T:
    """From `start` along an ordered ladder while the score rises; `start` where it rises to neither side."""
    at, height = ladder.index(start), score(start)
    for way in (1, -1):
        while 0 <= at + way < len(ladder) and (next_height := score(ladder[at + way])) > height:
            at, height = at + way, next_height
        if ladder[at] != start:
            break
    return ladder[at]


def validation_r2(decoder: Decoder, validation: Sequence[Recording]) -> float:
    """Mean R2 over outputs of what `decoder.predict` answers in the scored bins; -inf if there are none."""
    scored = [r for r in validation if r.scored.any()]
    if not scored:
        return -np.inf
    predictions = [decoder.predict(r.inputs, r.session)[r.scored] for r in scored]
    return mean_r2(np.concatenate([r.targets[r.scored] for r in scored]), np.concatenate(predictions))


def mean_r2(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Mean over outputs of 1 - SSE / SST, constant outputs left out; -inf if none is left.

    targets, predictions: (n_bins, n_outputs).
    """
    total = np.sum((targets - targets.mean(axis=0)) ** 2, axis=0, dtype=np.float64)
    residual = np.sum((targets - predictions) ** 2, axis=0, dtype=np.float64)
    varies = total > 0
    return float(np.mean(1 - residual[varies] / total[varies])) if varies.any() else -np.inf
