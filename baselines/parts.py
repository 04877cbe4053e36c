"""Parts of a whole: of a recording, to learn from and to stop by; of a network's weights, those of one module."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from harness import Recording

SHARE_TO_LEARN_FROM = 0.8
"""Of the labelled minutes that `adapt` is given."""


def learned_and_held_out(recording: Recording) -> tuple[Recording, Recording]:
    """The first part of the scored bins, at least one of them, and the rest, which comes after it and may be empty."""
    scored = np.flatnonzero(recording.scored)
    n_learned = max(1, int(SHARE_TO_LEARN_FROM * len(scored)))
    edge = int(scored[n_learned]) if n_learned < len(scored) else len(recording)
    return _stretch(recording, slice(0, edge)), _stretch(recording, slice(edge, None))


def part(weights: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The weights of one module of a network, under the names that they have in it."""
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _stretch(recording: Recording, bins: slice) -> Recording:
    privileged = {name: values[bins] for name, values in recording.privileged.items()}
    targets, scored = recording.targets[bins], recording.scored[bins]
    return replace(recording, inputs=recording.inputs[bins], targets=targets, scored=scored, privileged=privileged)
