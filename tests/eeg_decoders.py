"""A decoder of classes for tests of whole evaluations."""

from dataclasses import dataclass

import numpy as np

from harness import Decoder

WINDOW_BINS = 20


@dataclass
class LogPower(Decoder):
    """The class whose mean log power per channel, over the last 2 s, is nearest."""

    inputs = ("eeg",)
    deterministic = True

    def fit(self, train, validation):
        rows = [(self._features(r)[r.scored], r.targets[r.scored]) for r in train]
        features, labels = (np.concatenate(part) for part in zip(*rows, strict=True))
        self.means_ = np.stack([features[labels[:, i] == 1].mean(axis=0) for i in range(labels.shape[1])])

    def _features(self, recording):
        found = []
        for starts, bin in recording.inputs.bins():
            if starts:
                self.reset(recording.session)
            found.append(self._advance(bin))
        return np.array(found)

    def reset(self, session):
        self.past = np.ones((WINDOW_BINS, session.streams["eeg"].n_channels))

    def _advance(self, bin):
        self.past = np.concatenate([self.past[1:], np.mean(bin["eeg"].astype(float) ** 2, axis=0)[None] + 1e-9])
        return np.log(self.past.mean(axis=0))

    def step(self, bin):
        return -np.sum((self._advance(bin) - self.means_) ** 2, axis=1)
