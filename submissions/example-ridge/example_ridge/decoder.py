"""Ridge regression on the spike counts of the last half second."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge

from harness import Decoder


@dataclass
class ExampleRidge(Decoder):
    """Linear in the square roots of the last counts.

    history_s: How far it looks back.
    alpha: Ridge penalty.
    """

    inputs = ("spikes",)
    deterministic = True
    seed: int = 0
    history_s: float = 0.5
    alpha: float = 300.0

    def fit(self, train, validation):
        n_bins = max(1, round(self.history_s / train[0].session.bin_s))
        rows = np.concatenate([lagged(r.inputs, n_bins)[r.scored] for r in [*train, *validation]])
        targets = np.concatenate([r.targets[r.scored] for r in [*train, *validation]])
        model = Ridge(alpha=self.alpha).fit(rows, targets)
        self.weights_, self.intercept_ = model.coef_.astype(np.float32), model.intercept_.astype(np.float32)

    def reset(self, session):
        n_units = session.streams["spikes"].n_channels
        self._history = np.zeros((self.weights_.shape[1] // n_units, n_units), np.float32)

    def step(self, bin):
        self._history[1:] = self._history[:-1]
        self._history[0] = np.sqrt(bin["spikes"])
        return self.weights_ @ self._history.ravel() + self.intercept_


def lagged(inputs, n_bins):
    """Rows (n_rows, n_bins * n_units): each bin with those before it, newest first, and zeros before a start."""
    found = []
    for segment in inputs.segments():
        counts = np.sqrt(inputs.streams["spikes"][segment])
        padded = np.concatenate([np.zeros((n_bins - 1, counts.shape[1]), np.float32), counts])
        found.append(np.concatenate([padded[n_bins - 1 - k : len(padded) - k] for k in range(n_bins)], axis=1))
    return np.concatenate(found)
