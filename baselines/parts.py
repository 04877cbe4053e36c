"""Cutting a recording in two: what is learned from, and what says when to stop."""

from dataclasses import replace

import numpy as np

from harness import Recording

SHARE_TO_LEARN_FROM = 0.8
"""Of the labelled minutes that `adapt` is given."""


def learned_and_held_out(recording: Recording) -> tuple[Recording, Recording]:
    """The first part of the scored bins, and the rest, which comes after it."""
    scored = np.flatnonzero(recording.scored)
    edge = int(scored[int(SHARE_TO_LEARN_FROM * len(scored))]) if len(scored) else len(recording)
    return _stretch(recording, slice(0, edge)), _stretch(recording, slice(edge, None))


def _stretch(recording: Recording, bins: slice) -> Recording:
    inputs = recording.inputs[bins]
    return replace(recording, inputs=inputs, targets=recording.targets[bins], scored=recording.scored[bins])
