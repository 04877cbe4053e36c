"""The linear decoder that all stream, as a worker of the judge loads it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness import Bin, Decoder, Recording, SessionInfo


@dataclass
class Linear(Decoder):
    """One line per output on the newest bin; its map is given, not learned."""

    inputs = ("spikes",)
    deterministic = True
    seed: int = 0

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        n_units, n_outputs = train[0].session.streams["spikes"].n_channels, len(train[0].session.outputs)
        self.map_ = np.zeros((n_units, n_outputs), np.float32)

    def reset(self, session: SessionInfo) -> None:
        pass  # nothing to forget

    def step(self, bin: Bin) -> np.ndarray:
        return bin["spikes"] @ self.map_
