"""A gated recurrent network on spike counts, trained by the harness's own loop."""

from dataclasses import dataclass

import numpy as np
import torch

from harness.torch_decoder import Schedule, Segment, TorchDecoder, train


class Network(torch.nn.Module):
    """(batch, n_bins, n_units) -> (batch, n_bins, n_outputs)."""

    def __init__(self, n_units, hidden, n_outputs):
        super().__init__()
        self.recurrent = torch.nn.GRU(n_units, hidden, batch_first=True)
        self.out = torch.nn.Linear(hidden, n_outputs)

    def forward(self, x):
        return self.out(self.recurrent(x)[0])


@dataclass
class ExampleTorch(TorchDecoder):
    """One layer of gated units. What it learned beside the network has a name that ends in `_`."""

    inputs = ("spikes",)
    hidden: int = 64
    updates: int = 300

    def build(self, session):
        return Network(session.streams["spikes"].n_channels, self.hidden, len(session.outputs))

    def fit(self, train_recordings, validation):
        targets = np.concatenate([r.targets[r.scored] for r in train_recordings])
        self.mean_, self.sd_ = targets.mean(axis=0), targets.std(axis=0) + 1e-6
        self.start(train_recordings[0].session)
        learned, held_out = ([s for r in part for s in self._segments(r)] for part in (train_recordings, validation))
        train(self.network, learned, held_out, schedule=Schedule(updates=self.updates), seed=self.seed)

    def _segments(self, r):
        counts = np.sqrt(r.inputs.streams["spikes"]).astype(np.float32)
        targets = np.nan_to_num((r.targets - self.mean_) / self.sd_).astype(np.float32)
        return [Segment(counts[s], targets[s], r.scored[s]) for s in r.inputs.segments()]

    def reset(self, session):
        self._hidden = None

    def step(self, bin):
        row = torch.from_numpy(np.sqrt(bin["spikes"]).astype(np.float32))[None, None]
        with torch.inference_mode():
            out, self._hidden = self.network.recurrent(row, self._hidden)
            return self.network.out(out)[0, 0].numpy() * self.sd_ + self.mean_
