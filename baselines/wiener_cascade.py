"""Wiener cascade: a Wiener filter, then one static nonlinearity per output."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines.wiener import Wiener
from harness import Bin, Inputs, Recording, SessionInfo


@dataclass
class WienerCascade(Wiener):
    """A polynomial on each output of the Wiener filter (Pohlmeyer et al. 2007, 10.1088/1741-2560/4/4/003).

    The polynomial is held at its end values outside the range that it was fitted on, where it would run away.

    degree: Of the polynomial; 3 is the usual cubic.
    """

    degree: int = 3

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        n_outputs = train[0].targets.shape[1]
        self.polynomial_ = np.eye(1, self.degree + 1, 1).repeat(n_outputs, axis=0)
        self.centre_, self.spread_ = np.zeros(n_outputs), np.ones(n_outputs)
        self.range_ = np.array([[-np.inf], [np.inf]]).repeat(n_outputs, axis=1)
        super().fit(train, validation)
        seen = [*train, *validation] if self.refit else train
        linear = np.concatenate([self.predict(r.inputs, r.session)[r.scored] for r in seen])
        self._bend(linear.astype(np.float64), np.concatenate([r.targets[r.scored] for r in seen]))

    def _bend(self, linear: np.ndarray, targets: np.ndarray) -> None:
        """Fit the polynomials of standardised linear answers, (n_bins, n_outputs), to the targets."""
        self.centre_ = linear.mean(axis=0)
        self.spread_ = np.maximum(linear.std(axis=0), 1e-12)
        x = (linear - self.centre_) / self.spread_
        self.range_ = np.stack([x.min(axis=0), x.max(axis=0)])
        self.polynomial_ = np.stack(
            [
                np.linalg.lstsq(np.vander(u, self.degree + 1, increasing=True), y, rcond=1e-8)[0]
                for u, y in zip(x.T, targets.T, strict=True)
            ]
        )

    def step(self, bin: Bin) -> np.ndarray:
        return self._bent(super().step(bin))

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        return self._bent(super().predict(inputs, session)).astype(np.float32)

    def _bent(self, linear: np.ndarray) -> np.ndarray:
        """The polynomials of linear answers, (..., n_outputs)."""
        x = (linear - self.centre_) / self.spread_
        x = np.minimum(np.maximum(x, self.range_[0]), self.range_[1])
        answer = self.polynomial_[:, -1]
        for coefficient in self.polynomial_.T[-2::-1]:
            answer = answer * x + coefficient
        return answer
