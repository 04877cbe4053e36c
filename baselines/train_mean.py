"""The floor: an answer that does not look at the brain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines.features import scored_targets
from harness import Bin, Decoder, Recording, SessionInfo


@dataclass
class TrainMean(Decoder):
    """Predict the mean target of training: the floor every decoder must beat. It reads nothing, so it fits any task."""

    inputs = ()
    deterministic = True
    seed: int = 0

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        self.mean_ = scored_targets(train).mean(axis=0)

    def reset(self, session: SessionInfo) -> None:
        """Nothing to forget."""

    def step(self, bin: Bin) -> np.ndarray:
        return self.mean_.copy()
