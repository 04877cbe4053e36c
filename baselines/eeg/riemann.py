"""Classifiers of covariances: minimum distance to the mean, and logistic regression in the tangent space."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from baselines.choose import best
from baselines.eeg import spd
from baselines.eeg.classifiers import Labelled, Linear, log_loss, logistic
from baselines.eeg.components import checked, shrunk, whitening
from baselines.eeg.windows import BandPass, Centre, Cut, Examples, Recent, band_blocks
from harness import Bin, Cost, Decoder, Recording, SessionInfo

PENALTIES = (1.0, 0.1, 0.3, 3.0, 10.0, 30.0)
FREE_INTERCEPT = 1e-6
FEWEST_TO_CHOOSE_BY = 20
"""Validation trials: with fewer, which penalty does best is chance, and the first is taken."""


@dataclass
class Covariant(Decoder):
    """Reads the covariance of the last `window_s` of the band-passed EEG.

    Channels are projected so that the training windows' Riemannian mean is the identity; towards it a window is shrunk.

    low_hz, high_hz: Band of the causal filter (Butterworth, four poles).
    later_s: Training windows end at the decision and every half second until so long after it.
    n_components: Principal components that are kept of the channels; None: all.
    shrinkage: Share of the mean in each covariance.
    recentring: Whether a window is also seen from the mean of its run so far, in `fit` as in `step`. None: if training
        holds several subjects, who lie far from each other; within one, it costs more than it brings.
    prior_trials: What was fitted before `adapt` weighs as much as so many trials (of each class, for class means).
    """

    inputs = ("eeg",)
    deterministic = True
    seed: int = 0
    low_hz: float = 8.0
    high_hz: float = 30.0
    window_s: float = 2.0
    later_s: float = 1.0
    n_components: int | None = 48
    shrinkage: float = 0.1
    prior_trials: float = 10.0
    recentring: bool | None = None

    @abc.abstractmethod
    def scores(self, covariance: np.ndarray) -> np.ndarray:
        """(n_components, n_components), projected and shrunk -> (n_classes,)."""

    def reset(self, session: SessionInfo) -> None:
        self._band_pass = BandPass(self.blocks_, self.projection_[None])
        n, self._is_recentred = len(self.projection_), bool(self.recentred_)
        self._recent = Recent(self._cut().n_bins(session.bin_s), (n, n))
        self._centre = Centre(n, session.bin_s)

    def step(self, bin: Bin) -> np.ndarray:
        samples = self._band_pass.push(bin["eeg"])[0]
        moments = samples.T @ samples / len(samples)
        covariance = self._recent.push(moments)
        if self._is_recentred:
            self._centre.push(moments)
            covariance = spd.congruent(_whitener(self._centre.matrix, self._centre.left), covariance)
        return self.scores(shrunk(covariance, self.shrinkage))

    def start(self, train: Sequence[Recording]) -> None:
        """Look at the training recordings: what may be learned from them, and how."""
        checked(train)
        self.blocks_ = band_blocks(train[0].session, [(self.low_hz, self.high_hz)])
        several = len({r.session.subject for r in train}) > 1
        self.recentred_ = np.array(several if self.recentring is None else self.recentring)

    def examples(self, recordings: Sequence[Recording]) -> Examples:
        """Windows to learn from, unprojected."""
        return self._cut().examples(recordings, (self.low_hz, self.high_hz))

    def project(self, examples: Examples) -> Examples:
        """Learn the projection from examples, and apply it to them."""
        raw = examples.covariances
        whitener = whitening(np.tensordot(examples.balanced(), raw, 1) / examples.weights.sum(), self.n_components)
        white = shrunk(spd.congruent(whitener, raw), self.shrinkage)
        self.projection_ = spd.power(spd.mean(white, examples.balanced()), -0.5) @ whitener
        return self.projected(examples)

    def projected(self, examples: Examples) -> Examples:
        """Examples as `scores` sees them."""
        covariances = spd.congruent(self.projection_, examples.covariances)
        if self.recentred_:
            centres = spd.congruent(self.projection_, examples.centres)
            covariances = spd.congruent(_whitener(centres, examples.left[:, None, None]), covariances)
        return replace(examples, covariances=shrunk(covariances, self.shrinkage))

    def recentre(self, examples: Examples) -> Examples:
        """Move the projection so that the mean of a new session's windows comes nearer to the identity.

        Args:
            examples: Unprojected. Returned projected.
        """
        n_trials = examples.weights.sum()
        near = shrunk(spd.congruent(self.projection_, examples.covariances), self.shrinkage)
        centre = spd.mean(near, examples.balanced())
        share = n_trials / (n_trials + self.prior_trials)
        self.projection_ = spd.power(spd.between(np.eye(len(centre)), centre, share), -0.5) @ self.projection_
        return self.projected(examples)

    def _cut(self) -> Cut:
        return Cut(self.window_s, self.later_s, centred=bool(self.recentred_))

    def _cost(self, *, n_of_eigen: int) -> Cost:
        """Products of a bin.

        Args:
            n_of_eigen: Those in eigenvalues and what follows; the others are known from the arrays.
        """
        n, n_channels = self.projection_.shape
        n_rows = self.blocks_.shape[-1]
        n_samples = n_rows - 4
        contractions = n_samples * n_channels * n + n_rows**2 * n + n_samples * n**2 + n_of_eigen
        if self.recentred_:  # the power of the centre, and two products with the window's covariance
            contractions += 9 * n**3 // 2 + 3 * n**3
        return Cost(macs_per_bin=contractions, elementwise_per_bin=4 * n**2)


@dataclass
class RiemannMdm(Covariant):
    """Minimum distance to the classes' Riemannian means (Barachant et al. 2012, 10.1109/TBME.2011.2172210).

    A class' score is minus its squared distance. Fields as in `Covariant`.
    """

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        self.start(train)
        # Nothing is chosen here, so the validation trials are more to learn from.
        examples = self.project(self.examples([*train, *validation]))
        n_classes = len(train[0].session.outputs)
        means = [_class_mean(examples, k) for k in range(n_classes)]
        self.whiteners_ = spd.power(np.array(means), -0.5)

    def adapt(self, recording: Recording) -> None:
        """Recentre, then move each class mean along the geodesic to that of its trials."""
        examples = self.examples([recording])
        if not len(examples.labels):
            return
        examples, means = self.recentre(examples), spd.power(self.whiteners_, -2.0)
        for k in np.unique(examples.labels):
            n_trials = examples.weights[examples.labels == k].sum()
            share = n_trials / (n_trials + self.prior_trials)
            means[k] = spd.between(means[k], _class_mean(examples, k), share)
        self.whiteners_ = spd.power(means, -0.5)

    def scores(self, covariance: np.ndarray) -> np.ndarray:
        return -spd.squared_distances(self.whiteners_, covariance)

    def cost(self, session: SessionInfo) -> Cost:
        """Two products of matrices and the eigenvalues, 2/3 n^3 by tridiagonal form, for each class."""
        n_classes, n, _ = self.whiteners_.shape
        return self._cost(n_of_eigen=n_classes * (2 * n**3 + 2 * n**3 // 3))


@dataclass
class TangentSpace(Covariant):
    """Logistic regression on matrix logarithms (Barachant et al. 2013, 10.1016/j.neucom.2012.12.039).

    Fields as in `Covariant`, and:

    penalty: Half the weight of squared weights beside the log loss summed over trials. None: chosen on validation
        where that has enough trials, else 1.
    """

    penalty: float | None = None

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        self.start(train)
        n_classes = len(train[0].session.outputs)
        penalties = PENALTIES if self.penalty is None else (self.penalty,)
        learned, held_out = self.examples(train), self.examples(validation) if validation else None
        if held_out is not None and len(held_out.labels):
            if held_out.weights.sum() >= FEWEST_TO_CHOOSE_BY:
                rows, unseen = _rows(self.project(learned)), _rows(self.projected(held_out))
                penalties = (best(penalties, lambda c: -log_loss(_fresh(rows, n_classes, c), unseen)),)
            learned = learned.joined(held_out)
        self.penalty_ = np.array(penalties[0])
        self._keep(_fresh(_rows(self.project(learned)), n_classes, penalties[0]))

    def adapt(self, recording: Recording) -> None:
        """Recentre, then fit on the new trials with what was fitted before as the centre of the penalty."""
        examples = self.examples([recording])
        if not len(examples.labels):
            return
        before = Linear(spd.vectors(self.weights_), self.intercept_)
        # A trial moves an intercept by at most a quarter of its weight, so that this is what `prior_trials` would hold.
        penalties = float(self.penalty_) * self.prior_trials, self.prior_trials / 4
        self._keep(logistic(_rows(self.recentre(examples)), before, penalties))

    def _keep(self, linear: Linear) -> None:
        self.weights_, self.intercept_ = spd.from_vectors(linear.weights), linear.intercept

    def scores(self, covariance: np.ndarray) -> np.ndarray:
        return np.tensordot(self.weights_, spd.log(covariance)) + self.intercept_

    def cost(self, session: SessionInfo) -> Cost:
        """Eigenvalues and vectors, 9/2 n^3 by tridiagonal form and QR, put together again, and the weights."""
        n_classes, n, _ = self.weights_.shape
        return self._cost(n_of_eigen=9 * n**3 // 2 + n**3 + n_classes * n**2)


def _whitener(centres: np.ndarray, left: np.ndarray | float) -> np.ndarray:
    return spd.power(centres + left * np.eye(centres.shape[-1]), -0.5)


def _class_mean(examples: Examples, k: int) -> np.ndarray:
    of_class = examples.labels == k
    return spd.mean(examples.covariances[of_class], examples.weights[of_class])


def _rows(examples: Examples) -> Labelled:
    return Labelled(spd.vectors(spd.log(examples.covariances)), examples.labels, examples.balanced())


def _fresh(rows: Labelled, n_classes: int, penalty: float) -> Linear:
    nothing = Linear(np.zeros((n_classes, rows.features.shape[1])), np.zeros(n_classes))
    return logistic(rows, nothing, (penalty, FREE_INTERCEPT))
