"""Common spatial patterns: the logarithm of the variance behind filters that tell classes apart."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from baselines.eeg import spd
from baselines.eeg.classifiers import Gaussians, Labelled, gaussians
from baselines.eeg.components import checked, towards_equal_channels, whitening
from baselines.eeg.windows import BandPass, Cut, Examples, Recent, band_blocks
from baselines.lfp.filters import Band
from harness import Bin, Decoder, Recording, SessionInfo

VARIANCE_FLOOR = 1e-3
"""Added before the logarithm, of a usual variance of 0.5: so that a silent bin is no minus infinity."""


def spatial_filters(of_class: np.ndarray, of_others: np.ndarray, n_pairs: int) -> np.ndarray:
    """Filters whose variance is largest and smallest in a class (Blankertz et al. 2008, 10.1109/MSP.2008.4408441).

    Args:
        of_class, of_others: (n, n) mean covariances; a filter's variances in the two sum to 1.
        n_pairs: Half as many filters as are wanted; fewer if n is less.

    Returns:
        (2 * n_pairs, n); a pair, the largest and the smallest, stands one after the other.
    """
    vectors = scipy.linalg.eigh(of_class, of_class + of_others)[1].T
    n_pairs = min(n_pairs, max(1, len(vectors) // 2))
    return np.stack([vectors[::-1][:n_pairs], vectors[:n_pairs]], axis=1).reshape(2 * n_pairs, -1)


@dataclass
class SpatiallyFiltered(Decoder):
    """Linear discriminant analysis of the log variances of spatially and band-pass filtered EEG in a window.

    Of more than two classes each has filters against all others.

    window_s: Variances are of so many last seconds.
    later_s: Training windows end at the decision and every half second until so long after it.
    n_pairs: Pairs of filters of each class, in each band.
    shrinkage: Share of independent, equally loud channels in the covariance of each class: directions in which there
        is hardly any signal are then no good filters (Lotte and Guan 2011, 10.1109/TBME.2010.2082539).
    prior_trials: In `adapt`, a class mean that was fitted before weighs as much as so many trials.
    """

    inputs = ("eeg",)
    deterministic = True
    seed: int = 0
    window_s: float = 2.0
    later_s: float = 1.0
    n_pairs: int = 3
    shrinkage: float = 0.01
    prior_trials: float = 10.0

    @abc.abstractmethod
    def bands(self) -> list[Band]:
        """Hz, from and to."""

    def selected(self, rows: Labelled) -> np.ndarray:
        """Indices of the features that are kept; all of them unless a subclass says otherwise."""
        return np.arange(rows.features.shape[1])

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        checked(train)
        self.blocks_ = band_blocks(train[0].session, self.bands())
        made = [self._learn_band([*train, *validation], band) for band in self.bands()]
        filters, features = [m[0] for m in made], [m[1].features for m in made]
        rows = Labelled(np.concatenate(features, axis=1), made[0][1].labels, made[0][1].weights)
        kept = self.selected(rows)
        self.i_band_ = np.repeat(np.arange(len(filters)), list(map(len, filters)))[kept]
        self.projection_ = np.concatenate(filters)[kept]
        rows = Labelled(rows.features[:, kept], rows.labels, rows.weights)
        self._keep(gaussians(rows, len(train[0].session.outputs)))

    def adapt(self, recording: Recording) -> None:
        """Move the class means of the features towards those of the new trials; filters stay."""
        features = np.zeros((0, 0))
        for i_band in np.unique(self.i_band_).tolist():
            examples = self._cut().examples([recording], self.bands()[i_band])
            if not len(examples.labels):
                return
            features = features if features.size else np.empty((len(examples.labels), len(self.i_band_)))
            here = self.i_band_ == i_band
            features[:, here] = _log_variances(examples, self.projection_[here])
        rows = Labelled(features, examples.labels, examples.weights)
        self._keep(Gaussians(self.means_, self.precision_).moved(rows, prior_trials=self.prior_trials))

    def reset(self, session: SessionInfo) -> None:
        self._linear = Gaussians(self.means_, self.precision_).linear()
        self._band_pass = BandPass(self.blocks_[self.i_band_], self.projection_[:, None])
        self._recent = Recent(self._cut().n_bins(session.bin_s), self.i_band_.shape)

    def step(self, bin: Bin) -> np.ndarray:
        variances = self._recent.push(np.square(self._band_pass.push(bin["eeg"])).mean(axis=(1, 2)))
        return self._linear.weights @ np.log(variances + VARIANCE_FLOOR) + self._linear.intercept

    def _learn_band(self, recordings: Sequence[Recording], band: Band) -> tuple[np.ndarray, Labelled]:
        """Filters (n_filters, n_channels) of one band, and their features of the training windows."""
        examples = self._cut().examples(recordings, band)
        raw, weights = examples.covariances, examples.balanced()
        classes = np.unique(examples.labels)
        means = [np.average(raw[examples.labels == k], 0, weights[examples.labels == k]) for k in classes]
        means = np.array([towards_equal_channels(m, self.shrinkage) for m in means])
        whitener = whitening(means.mean(axis=0), None)
        means = spd.congruent(whitener, means)
        # Of two classes, the second's filters are the first's in another order.
        problems = range(len(means)) if len(means) > 2 else range(1)
        filters = [spatial_filters(means[k], np.delete(means, k, 0).mean(axis=0), self.n_pairs) for k in problems]
        filters = np.concatenate(filters) @ whitener
        return filters, Labelled(_log_variances(examples, filters), examples.labels, examples.weights)

    def _keep(self, found: Gaussians) -> None:
        self.means_, self.precision_ = found.means, found.precision

    def _cut(self) -> Cut:
        return Cut(self.window_s, self.later_s)


@dataclass
class CspLda(SpatiallyFiltered):
    """Common spatial patterns of one band, and linear discriminant analysis.

    low_hz, high_hz: The band. Other fields as in `SpatiallyFiltered`.
    """

    low_hz: float = 8.0
    high_hz: float = 30.0

    def bands(self) -> list[Band]:
        return [(self.low_hz, self.high_hz)]


@dataclass
class FilterBankCsp(SpatiallyFiltered):
    """Common spatial patterns of many bands, the most telling kept (Ang et al. 2012, 10.3389/fnins.2012.00039).

    lowest_hz, highest_hz, width_hz: The bands lie side by side.
    n_selected: So many features with the highest mutual information with the class are kept, and their pairs.
        Other fields as in `SpatiallyFiltered`.
    """

    n_pairs: int = 2
    shrinkage: float = 0.1
    lowest_hz: float = 4.0
    highest_hz: float = 40.0
    width_hz: float = 4.0
    n_selected: int = 4

    def bands(self) -> list[Band]:
        edges = np.arange(self.lowest_hz, self.highest_hz - self.width_hz + 1e-9, self.width_hz).tolist()
        return [(low, low + self.width_hz) for low in edges]

    def selected(self, rows: Labelled) -> np.ndarray:
        from sklearn.feature_selection import mutual_info_classif

        told = mutual_info_classif(rows.features, rows.labels, random_state=0)
        most = np.argsort(-told, kind="stable")[: self.n_selected]
        # Filters come in pairs (2 i, 2 i + 1).
        return np.unique(np.concatenate([most, most ^ 1]))


def _log_variances(examples: Examples, filters: np.ndarray) -> np.ndarray:
    """(n_windows, n_filters)."""
    variances = np.einsum("fc,wcd,fd->wf", filters, examples.covariances, filters, optimize=True)
    return np.log(variances + VARIANCE_FLOOR)
