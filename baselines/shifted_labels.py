"""The chance floor: a decoder that learned the right statistics at the wrong time."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines.wiener import Wiener
from harness import Recording


@dataclass
class ShiftedLabels(Wiener):
    """A Wiener filter trained on labels that are circularly shifted by half of their recording.

    Unlike shuffled labels, shifted ones keep their autocorrelation, and with it the ways to score above zero by luck.
    """

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        super().fit([shifted(r) for r in train], [shifted(r) for r in validation])


def shifted(recording: Recording) -> Recording:
    """The recording with the targets of its scored bins rolled by half their number."""
    targets = recording.targets.copy()
    scored = recording.scored
    targets[scored] = np.roll(targets[scored], int(scored.sum()) // 2, axis=0)
    return dataclasses.replace(recording, targets=targets)
