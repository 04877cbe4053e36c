"""The linear decoder as a layer of PyTorch, which is what NeuroBench runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from harness import Bin, Decoder, Recording, SessionInfo


@dataclass
class LinearTorch(Decoder):
    """One line per output on the newest bin; its map is given, not learned."""

    inputs = ("spikes",)
    deterministic = True
    seed: int = 0

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        n_units, n_outputs = train[0].session.streams["spikes"].n_channels, len(train[0].session.outputs)
        self.map_ = np.zeros((n_units, n_outputs), np.float32)

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        super().restore(state, sessions)
        torch.set_num_threads(1)
        self.layer = torch.nn.Linear(*self.map_.shape, bias=False)
        self.layer.weight.data = torch.from_numpy(self.map_.T.copy())

    def reset(self, session: SessionInfo) -> None:
        pass  # nothing to forget

    def step(self, bin: Bin) -> np.ndarray:
        with torch.inference_mode():
            return self.layer(torch.from_numpy(bin["spikes"])).numpy()
