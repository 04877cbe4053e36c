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
    """The recording with the labels of another time; of classes, with every trial called by the next class's name.

    Few trials in another order would not do: with a random rule an honest decoder can still tell classes apart that
    differ much, and by luck names them rightly. What is learned from exchanged names is wrong, and scores less than
    chance, unless the names of the test were known.
    """
    if recording.session.kind == "classification":
        return replace(recording, targets=np.roll(recording.targets, 1, axis=1))
    n = len(recording)
    shift = n // 4 + int(np.random.default_rng(n).integers(max(1, n // 2)))
    return replace(
        recording, targets=np.roll(recording.targets, shift, axis=0), scored=np.roll(recording.scored, shift)
    )
