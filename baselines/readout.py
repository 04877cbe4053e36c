"""A linear read-out of embeddings: ridge regression on the last frames of what a frozen network says.

Frames before a segment's start are zero, as in `baselines.features.History`, which is what streaming uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from baselines.choose import best, mean_r2
from baselines.features import stacked
from baselines.ridge import Linear, Moments
from harness import HarnessError, Recording

STREAM = "embedding"


@dataclass(frozen=True)
class Embedded:
    """What a network made of a recording, which has the targets.

    values: (n_bins, width) float32.
    """

    values: np.ndarray
    recording: Recording

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != len(self.recording):
            raise HarnessError(
                f"an embedding of shape {self.values.shape} does not fit a recording of {len(self.recording)} bins; "
                f"give one row per bin"
            )

    def as_recording(self) -> Recording:
        """The recording with the embedding as its only stream, as least squares reads it."""
        inputs = replace(self.recording.inputs, streams={STREAM: self.values})
        return replace(self.recording, inputs=inputs)


def fit_readout(
    train: Sequence[Embedded], validation: Sequence[Embedded], *, n_frames: int, penalties: Sequence[float]
) -> Linear:
    """Ridge regression of targets on the frames t - n_frames + 1 .. t, newest first.

    The penalty with the best mean R2 on validation is kept and the fit repeated on train and validation together.
    Without scored bins in validation the first penalty is taken.

    Args:
        train: At least one scored bin in all.
        validation: May be empty.
        n_frames: Rows of the embedding in a feature vector, at least 1.
        penalties: Candidates for alpha of `Moments.solve`, which knows sums over bins, not means.

    Returns:
        float64 weights (n_outputs, n_frames * width) and intercept (n_outputs,), in the unit of the targets.

    Raises:
        HarnessError: If train holds no scored bin.
    """
    if not any(e.recording.scored.any() for e in train):
        raise HarnessError(
            f"{len(train)} training recordings hold no scored bin; a read-out needs some, so check the suite's split"
        )
    moments = _moments(train, n_frames)
    n_features = len(moments.features)
    scored = [e for e in validation if e.recording.scored.any()]

    def score(penalty: float) -> float:
        return _validation_r2(moments.solve(penalty, n_features), scored, n_frames)

    penalty = best(penalties, score)
    return (moments + _moments(scored, n_frames) if scored else moments).solve(penalty, n_features)


def readout_answers(linear: Linear, values: np.ndarray, starts: np.ndarray, n_frames: int) -> np.ndarray:
    """A whole stream through a read-out.

    Args:
        linear: From `fit_readout`.
        values: (n_bins, width) embedding.
        starts: (n_bins,) bool; frames before a start do not count.
        n_frames: As in `fit_readout`.

    Returns:
        (n_bins, n_outputs).
    """
    chunks = stacked(values, starts, n_frames, wanted=np.arange(len(values)))
    return np.concatenate([chunk @ linear.weights.T for chunk in chunks]) + linear.intercept


def _moments(embedded: Sequence[Embedded], n_frames: int) -> Moments:
    recordings = [e.as_recording() for e in embedded]
    return Moments.of(recordings, stream=STREAM, standard=lambda rows: rows, n_bins=n_frames)


def _validation_r2(linear: Linear, validation: Sequence[Embedded], n_frames: int) -> float:
    if not validation:
        return -np.inf
    targets = [e.recording.targets[e.recording.scored] for e in validation]
    answers = [
        readout_answers(linear, e.values, e.recording.inputs.starts, n_frames)[e.recording.scored] for e in validation
    ]
    return mean_r2(np.concatenate(targets), np.concatenate(answers))
