"""Wiener filter: ridge regression on the recent history of counts."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines.choose import best, uphill, validation_r2
from baselines.features import History, Standard, Transform, in_bins, scored_targets, stacked
from baselines.parts import learned_and_held_out
from baselines.ridge import Linear, Moments
from harness import Bin, Decoder, Inputs, Recording, SessionInfo

PENALTIES_PER_BIN = (1e-4, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
USUAL_PENALTY = 0.1


@dataclass
class Wiener(Decoder):
    """Linear in the last bins of standardised square-root counts (Glaser et al. 2020, 10.1523/ENEURO.0506-19.2020).

    history_s: Longest history. Where alpha is chosen, half of it is tried too.
    alpha: Ridge penalty on weights of standardised counts. None: uphill on validation, from `USUAL_PENALTY`.
    refit: Fit once more on train and validation after choosing.
    """

    inputs = ("spikes",)
    deterministic = True
    seed: int = 0
    history_s: float = 0.5
    alpha: float | None = None
    transform: Transform = "sqrt"
    refit: bool = True

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        scored_targets(train)
        stream = self.inputs[0]
        standard = Standard.of([r.inputs.streams[stream] for r in train], self.transform)
        n_bins = in_bins(self.history_s, train[0].session.bin_s)
        moments = Moments.of(train, stream=stream, standard=standard, n_bins=n_bins)
        self.mean_, self.gain_ = standard.mean, standard.gain
        alpha, linear = self._choose(moments, n_bins, validation)
        if self.refit and validation:
            moments = moments + Moments.of(validation, stream=stream, standard=standard, n_bins=n_bins)
            linear = moments.solve(alpha, linear.weights.shape[1])
        self._keep(linear)

    def adapt(self, recording: Recording) -> None:
        """Fit on the minutes given alone: what a lab without earlier sessions would do."""
        learned, held_out = learned_and_held_out(recording)
        self.fit([learned], [held_out])

    def _choose(self, moments: Moments, n_bins: int, validation: Sequence[Recording]) -> tuple[float, Linear]:
        """Penalty, and what it gives with the better history; the usual ones where there is nothing to choose on."""
        usual, n_units = moments.n * USUAL_PENALTY, len(self.mean_)
        if self.alpha is not None or not validation:
            alpha = usual if self.alpha is None else self.alpha
            return alpha, moments.solve(alpha, n_bins * n_units)

        def score(linear: Linear) -> float:
            self._keep(linear)
            return validation_r2(self, validation)

        @functools.cache
        def better(alpha: float) -> Linear:
            return best(moments.solve_each(alpha, [n * n_units for n in self.histories(n_bins)]), score)

        ladder = [moments.n * penalty for penalty in PENALTIES_PER_BIN]
        alpha = uphill(ladder, usual, lambda one: score(better(one)))
        return alpha, better(alpha)

    def histories(self, n_bins: int) -> tuple[int, ...]:
        """Numbers of bins to choose from, the fallback first."""
        return tuple(dict.fromkeys((n_bins, max(1, n_bins // 2))))

    def _keep(self, linear: Linear) -> None:
        self.weights_ = linear.weights.astype(np.float32)
        self.intercept_ = linear.intercept.astype(np.float32)

    def reset(self, session: SessionInfo) -> None:
        n_units = len(self.mean_)
        self._standard = Standard(self.mean_, self.gain_, self.transform)
        self._history = History(self.weights_.shape[1] // n_units, n_units)

    def step(self, bin: Bin) -> np.ndarray:
        row = self._standard(bin[self.inputs[0]])
        return self.weights_ @ self._history.push(row) + self.intercept_

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        n_bins = self.weights_.shape[1] // len(self.mean_)
        rows = Standard(self.mean_, self.gain_, self.transform)(inputs.streams[self.inputs[0]])
        histories = stacked(rows, inputs.starts, n_bins, wanted=np.arange(len(inputs)))
        answers = [history @ self.weights_.T + self.intercept_ for history in histories]
        return np.concatenate([np.empty((0, len(self.weights_)), np.float32), *answers])
