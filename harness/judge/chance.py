"""Whether outputs that can know nothing score like it."""

import math
from collections.abc import Iterator

import numpy as np

from harness.judge.finding import Finding
from harness.score.metrics import Metric
from harness.types import Recording

N_DRAWS = 200
N_TRIAL_DRAWS = 1000
MARGIN = 0.05
FEW_SCORED = 30
FEW_TRIALS = 12
"""Of fewer, labels in random order may all be right."""
MANY_SEGMENTS = 8


def chance(part: Recording, outputs: np.ndarray, *, metric: Metric, rng: np.random.Generator, of: str) -> Finding:
    """Compare the score of outputs with scores that they get by chance.

    The bound is the best of 200 scores against labels of other times and of the labels' own mean, plus 0.05. Labels of
    other times are shifted by a random amount; where a recording has many segments they are those of another segment,
    at the same time since its start, for that time is no secret. Labels of trials, of which each is one scored bin, are
    put in random order, a thousand times: few shifts of few trials are different.

    Args:
        part: The recording with its labels.
        outputs: (n_bins, n_outputs), answers that were made without knowledge.
        metric: Compares them.
        rng: Draws the other times.
        of: What the outputs are, for the message.
    """
    y_true, y_pred = part.targets[part.scored], outputs[part.scored]
    if len(y_true) < (FEW_TRIALS if part.session.kind == "classification" else FEW_SCORED):
        return Finding(True, f"{len(y_true)} scored bins: too few to tell")
    sign = 1 if metric.higher_is_better else -1
    scores = [metric(*pair) for pair in _other_times(part, outputs, rng)]
    scores.append(metric(y_true, np.broadcast_to(y_true.mean(axis=0), y_true.shape)))
    defined = [sign * score for score in scores if math.isfinite(score)]
    if not defined:
        return Finding(True, f"{metric.name} is not defined for {of}")
    bound, score = max(defined) + MARGIN, sign * metric(y_true, y_pred)
    # Not a number, for constant answers: no score at all.
    ok = not score > bound
    return Finding(ok, "" if ok else f"{of} scores {sign * score:.3g}; chance reaches {sign * bound:.3g}")


def _other_times(
    part: Recording, outputs: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Labels of other times, and outputs."""
    y_true, y_pred = part.targets[part.scored], outputs[part.scored]
    n = len(y_true)
    if part.session.kind == "classification":
        yield from ((rng.permutation(y_true), y_pred) for _ in range(N_TRIAL_DRAWS))
        return
    if len(part.inputs.segments()) >= MANY_SEGMENTS:
        yield from _other_segments(part, outputs, rng)
        return
    for shift in rng.integers(n // 10 + 1, n - n // 10, size=N_DRAWS):
        yield np.roll(y_true, shift, axis=0), y_pred


def _other_segments(
    part: Recording, outputs: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    starts = np.flatnonzero(part.inputs.starts)
    lengths = np.diff([*starts, len(part)])
    segment = np.repeat(np.arange(len(starts)), lengths)
    since = np.arange(len(part)) - starts[segment]
    for shift in rng.integers(1, len(starts), size=N_DRAWS):
        other = (segment + shift) % len(starts)
        there = np.minimum(starts[other] + since, len(part) - 1)
        both = (since < lengths[other]) & part.scored & part.scored[there]
        if both.sum() > 2:
            yield part.targets[there[both]], outputs[both]
