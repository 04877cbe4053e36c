"""Wiener filter: ridge regression on the recent history of counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines.choose import best, validation_r2
from baselines.features import History, Standard, Transform, in_bins, scored_targets
from baselines.parts import learned_and_held_out
from baselines.ridge import Linear, Moments
from harness import Bin, Decoder, Recording, SessionInfo

PENALTIES_PER_BIN = (0.1, 1e-4, 1e-2, 0.3, 1.0, 3.0, 10.0)


@dataclass
class Wiener(Decoder):
    """Linear in the last bins of standardised square-root counts (Glaser et al. 2020, 10.1523/ENEURO.0506-19.2020).

    history_s: Longest history. Where alpha is chosen, half of it is tried too.
    alpha: Ridge penalty on weights of standardised counts. None: chosen on validation.
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
        found = self._candidates(moments, n_bins)
        candidates = list(found)
        chosen = best(
            candidates if validation else candidates[:1],
            lambda candidate: self._validate(found[candidate], validation),
        )
        if self.refit and validation:
            moments = moments + Moments.of(validation, stream=stream, standard=standard, n_bins=n_bins)
        self._keep(moments.solve(*chosen))

    def adapt(self, recording: Recording) -> None:
        """Fit on the minutes given alone: what a lab without earlier sessions would do."""
        learned, held_out = learned_and_held_out(recording)
        self.fit([learned], [held_out])

    def _candidates(self, moments: Moments, n_bins: int) -> dict[tuple[float, int], Linear]:
        """(alpha, n_features) to choose from -> what they give, the fallback first."""
        n_units = len(self.mean_)
        alphas = [moments.n * p for p in PENALTIES_PER_BIN] if self.alpha is None else [self.alpha]
        lengths = [n * n_units for n in (self.histories(n_bins) if self.alpha is None else (n_bins,))]
        solved = {alpha: moments.solve_each(alpha, lengths) for alpha in alphas}
        return {(alpha, n): solved[alpha][i] for i, n in enumerate(lengths) for alpha in alphas}

    def histories(self, n_bins: int) -> tuple[int, ...]:
        """Numbers of bins to choose from, the fallback first."""
        return tuple(dict.fromkeys((n_bins, max(1, n_bins // 2))))

    def _validate(self, linear: Linear, validation: Sequence[Recording]) -> float:
        self._keep(linear)
        return validation_r2(self, validation)

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
