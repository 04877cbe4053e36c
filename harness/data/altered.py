"""Recordings of which less is known, or nothing true."""

from dataclasses import replace

import numpy as np

from harness.types import Recording


def last_bins(recording: Recording, n_bins: int) -> Recording:
    """The end of a recording."""
    end = slice(len(recording) - n_bins, len(recording))
    privileged = {name: values[end] for name, values in recording.privileged.items()}
    targets, scored = recording.targets[end], recording.scored[end]
    return replace(recording, inputs=recording.inputs[end], targets=targets, scored=scored, privileged=privileged)


def unlabelled(recording: Recording) -> Recording:
    """The recording without its labels."""
    nothing = np.full_like(recording.targets, np.nan)
    return replace(recording, targets=nothing, scored=np.zeros_like(recording.scored))


def blinded(recording: Recording) -> Recording:
    """The recording with the labels of another time, or of other trials: nothing true can be learned from it."""
    n = len(recording)
    if recording.session.kind == "classification":
        return replace(recording, targets=_of_other_trials(recording.targets, np.random.default_rng(n)))
    shift = n // 4 + int(np.random.default_rng(n).integers(max(1, n // 2)))
    return replace(
        recording, targets=np.roll(recording.targets, shift, axis=0), scored=np.roll(recording.scored, shift)
    )


def _of_other_trials(targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n_bins, n_classes) one-hot labels, handed out anew among stretches of equal labels."""
    label = np.where(np.isfinite(targets).all(axis=1), np.nan_to_num(targets).argmax(axis=1), -1)
    stretch = np.cumsum(np.diff(label, prepend=label[:1]) != 0)
    first = np.unique(stretch, return_index=True)[1]
    trials = first[label[first] >= 0]
    other = dict(zip(stretch[trials].tolist(), rng.permutation(label[trials]).tolist(), strict=True))
    moved = np.array([other.get(one, -1) for one in stretch.tolist()])
    return np.where(moved[:, None] >= 0, np.eye(targets.shape[1])[moved], np.nan).astype(np.float32)
