"""Ridge regression from moments: one pass over the data, then any penalty and any shorter history for free."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines.features import Standard, stacked
from harness import Recording


@dataclass(frozen=True)
class Linear:
    """outputs = weights @ features + intercept; weights (n_outputs, n_features), intercept (n_outputs,)."""

    weights: np.ndarray
    intercept: np.ndarray


@dataclass(frozen=True)
class Moments:
    """Sums over the scored bins: all that least squares needs, and addable.

    gram: (n_features, n_features). cross: (n_features, n_outputs). features: (n_features,). targets: (n_outputs,).
    """

    n: int
    gram: np.ndarray
    cross: np.ndarray
    features: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, recordings: Sequence[Recording], *, stream: str, standard: Standard, n_bins: int) -> "Moments":
        """Sum over the scored bins of recordings, features being `n_bins` rows of standardised counts."""
        first = recordings[0]
        n_features = n_bins * first.inputs.streams[stream].shape[1]
        n_outputs = first.targets.shape[1]
        total = cls(
            sum(int(r.scored.sum()) for r in recordings),
            np.zeros((n_features, n_features)),
            np.zeros((n_features, n_outputs)),
            np.zeros(n_features),
            np.zeros(n_outputs),
        )
        for recording in recordings:
            total._add(recording, standard(recording.inputs.streams[stream]), n_bins)
        return total

    def _add(self, recording: Recording, rows: np.ndarray, n_bins: int) -> None:
        scored = np.flatnonzero(recording.scored)
        starts, n_units, done = recording.inputs.starts, rows.shape[1], 0
        newest = np.zeros((n_units, n_bins * n_units))
        for chunk in stacked(rows, starts, n_bins, wanted=scored):
            x = chunk.astype(np.float64)
            y = recording.targets[scored[done : done + len(x)]].astype(np.float64)
            done += len(x)
            newest += x[:, :n_units].T @ x
            self.cross[:] += x.T @ y
            self.features[:] += x.sum(axis=0)
            self.targets[:] += y.sum(axis=0)
        self.gram[:] += _gram(newest, _edges(recording, rows, n_bins))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.n + other.n,
            self.gram + other.gram,
            self.cross + other.cross,
            self.features + other.features,
            self.targets + other.targets,
        )

    def solve(self, alpha: float, n_features: int) -> Linear:
        """Minimise |y - w x - b|^2 + alpha |w|^2 over the first `n_features` features; b is not penalised."""
        return self.solve_each(alpha, [n_features])[0]

    def solve_each(self, alpha: float, n_features: Sequence[int]) -> list[Linear]:
        """The same for several numbers of features, at the cost of the largest."""
        # Loaded here, for workers that stream do without it and would start twice as slowly.
        from scipy.linalg import cho_factor, cho_solve

        most = max(n_features)
        gram = self._centred[:most, :most].copy().T  # Symmetric, and as LAPACK wants it.
        gram.flat[:: most + 1] += alpha
        factor, _ = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
        x, y = self.features / self.n, self.targets / self.n
        cross = self.cross - self.n * np.outer(x, y)
        found = []
        for n in n_features:  # The factor of a leading block is the leading block of the factor.
            weights = cho_solve((factor[:n, :n], True), cross[:n], check_finite=False).T
            found.append(Linear(weights, y - weights @ x[:n]))
        return found

    @functools.cached_property
    def _centred(self) -> np.ndarray:
        """The Gram matrix of features less their means."""
        mean = self.features / self.n
        return self.gram - self.n * np.outer(mean, mean)


def _edges(recording: Recording, rows: np.ndarray, n_bins: int) -> np.ndarray:
    """Change of the Gram matrix when all scored bins move one bin into the past: it is felt at their edges only."""
    scored, starts = recording.scored, recording.inputs.starts
    follows = np.append(scored[1:] & ~starts[1:], False)
    change = np.zeros((n_bins * rows.shape[1],) * 2)
    for sign, bins in ((1, follows & ~scored), (-1, scored & ~follows)):
        for chunk in stacked(rows, recording.inputs.starts, n_bins, wanted=np.flatnonzero(bins)):
            x = chunk.astype(np.float64)
            change += sign * (x.T @ x)
    return change


def _gram(newest: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Gram matrix of stacked rows from its first block row, (n_units, n_features).

    Lags i + 1, j + 1 at bin t are lags i, j at bin t - 1, so each block is its upper left neighbour plus `change`:
    a pass over the data costs n_units, not n_features, per product.
    """
    n_units, n_features = newest.shape
    gram = np.zeros((n_features, n_features))
    gram[:n_units] = newest
    for i in range(n_units, n_features, n_units):
        above, here = slice(i - n_units, i), slice(i, i + n_units)
        gram[here, i:] = gram[above, i - n_units : -n_units] + change[above, i - n_units : -n_units]
        gram[i:, above] = gram[above, i:].T
    return gram
