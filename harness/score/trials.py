"""What is known of trials beside their score: accuracy over the time since the cue, and what is taken for what."""

from dataclasses import dataclass

import numpy as np

from harness.score.classification import BALANCED_ACCURACY, confusion_terms
from harness.types import Recording


@dataclass(frozen=True)
class OverTime:
    """Balanced accuracy of the answers of all trials at the same time since the cue, where any trial has one.

    offset_s: (n_offsets,) seconds since the cue, as the decision time counts, going up.
    balanced_accuracy: (n_offsets,).
    """

    offset_s: np.ndarray
    balanced_accuracy: np.ndarray


def confusion(part: Recording, outputs: np.ndarray) -> np.ndarray:
    """(n_classes, n_classes) int64 decisions of the scored bins, rows true."""
    return np.asarray(confusion_terms(part.targets[part.scored], outputs[part.scored]).sum(axis=0), np.int64)


def over_time(part: Recording, outputs: np.ndarray, *, decision_s: float) -> OverTime:
    """Accuracy within trials.

    Args:
        part: The test recording with its labels.
        outputs: (n_bins, n_classes) answers.
        decision_s: How long after the cue the scored bin of a trial is.
    """
    labelled = np.isfinite(part.targets).all(axis=1)
    n_before = round(decision_s / part.session.bin_s) - 1
    offsets, scores = [], []
    steps = range(-n_before, len(part))
    decisions = np.flatnonzero(part.scored)
    trial = _trial_of(labelled, decisions, n_before)
    for step in steps:
        bins = decisions + step
        inside = (bins >= 0) & (bins < len(part))
        bins, own = bins[inside], decisions[inside]
        bins = bins[trial[bins] == trial[own]]
        if not len(bins):
            if step > 0:
                break
            continue
        offsets.append(decision_s + step * part.session.bin_s)
        scores.append(BALANCED_ACCURACY(part.targets[bins], outputs[bins]))
    return OverTime(np.array(offsets), np.array(scores))


def _trial_of(labelled: np.ndarray, decisions: np.ndarray, n_before: int) -> np.ndarray:
    """(n_bins,) number of the trial whose labels a bin has, from 0; -1 outside of trials."""
    begins = np.maximum(decisions - n_before, 0)
    number = np.searchsorted(begins, np.arange(len(labelled)), side="right") - 1
    return np.where(labelled, number, -1)
