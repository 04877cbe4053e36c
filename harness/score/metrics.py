"""Metrics of behaviour, each written once, on sums over bins; those of classes are in `classification`.

Every metric is a formula on sums of a few per-bin terms. The sums of a whole session give its score; the sums of
resampled blocks give the score of a bootstrap draw (`harness.score.stats`), by the same formula.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.errors import UsageError
from harness.score.classification import CLASSIFICATION
from harness.score.metric import Metric as Metric
from harness.score.metric import checked

# Sums of squares carry a relative rounding error far below this; a variation beneath it is no variation.
_CONSTANT = 1e-12


@dataclass(frozen=True)
class Moments:
    """Sums over bins, per output: each (..., n_outputs) float64.

    `y` and `p` are target and prediction, each shifted by one constant per output: no variation or correlation sees
    the shift, and the sums of squares stay accurate. `ee` is the squared error of the unshifted values, kept apart
    because yy - 2 yp + pp loses all its digits for a good prediction.
    """

    n: np.ndarray
    y: np.ndarray
    p: np.ndarray
    yy: np.ndarray
    pp: np.ndarray
    yp: np.ndarray
    ee: np.ndarray

    @property
    def variation_y(self) -> np.ndarray:
        """Sum of squares of the target about its mean; NaN if it is constant."""
        return _about_mean(self.yy, self.y, self.n)

    @property
    def variation_p(self) -> np.ndarray:
        """Sum of squares of the prediction about its mean; NaN if it is constant."""
        return _about_mean(self.pp, self.p, self.n)


def moment_terms(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """What each bin adds to `Moments`: (n_bins, n_outputs, 7), in the order of its fields."""
    y_true, y_pred = checked(y_true, y_pred)
    y, p = y_true - y_true.mean(axis=0), y_pred - y_pred.mean(axis=0)
    return np.stack([np.ones_like(y), y, p, y * y, p * p, y * p, (y_true - y_pred) ** 2], axis=-1)


def r2(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Coefficient of determination, the mean over outputs of 1 - SSE/SST.

    y_true, y_pred: (n_bins, n_outputs), same unit. SST is about the mean of the given bins. 1 is perfect, 0 equals
    that mean, no lower bound; NaN if any output of y_true is constant.
    """
    return METRICS["r2"](y_true, y_pred)


def r2_weighted(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Coefficient of determination with outputs weighted by their variance: 1 - sum SSE / sum SST.

    y_true, y_pred: (n_bins, n_outputs), same unit for all outputs. A constant output of y_true weighs nothing,
    however it is predicted; NaN if all are constant.
    """
    return METRICS["r2_weighted"](y_true, y_pred)


def pearson(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Pearson correlation, the mean over outputs.

    y_true, y_pred: (n_bins, n_outputs). NaN if any output of y_true or y_pred is constant.
    """
    return METRICS["pearson"](y_true, y_pred)


def rmse(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Root of the mean squared error of each output, then the mean over outputs, in the unit of the target.

    y_true, y_pred: (n_bins, n_outputs), same unit.
    """
    return METRICS["rmse"](y_true, y_pred)


def metric(name: str) -> Metric:
    """Look a metric up.

    Raises:
        UsageError: If there is none of that name.
    """
    try:
        return METRICS[name]
    except KeyError:
        raise UsageError(f"unknown metric {name!r}; use one of: {', '.join(METRICS)}") from None


def _r2(sums: np.ndarray) -> np.ndarray:
    m = _moments(sums)
    return np.asarray(np.mean(1 - m.ee / m.variation_y, axis=-1))


def _r2_weighted(sums: np.ndarray) -> np.ndarray:
    m = _moments(sums)
    variation = np.nan_to_num(m.variation_y)
    error = np.sum(np.where(variation > 0, m.ee, 0.0), axis=-1)
    total = np.sum(variation, axis=-1)
    return np.asarray(1 - error / np.where(total > 0, total, np.nan))


def _pearson(sums: np.ndarray) -> np.ndarray:
    m = _moments(sums)
    covariation = m.yp - m.y * m.p / m.n
    r = covariation / np.sqrt(m.variation_y * m.variation_p)
    return np.asarray(np.mean(np.clip(r, -1, 1), axis=-1))


def _rmse(sums: np.ndarray) -> np.ndarray:
    m = _moments(sums)
    return np.asarray(np.mean(np.sqrt(m.ee / m.n), axis=-1))


def _moments(sums: np.ndarray) -> Moments:
    n, *others = np.moveaxis(sums, -1, 0)
    # No bins at all (a draw of unscored blocks): undefined, not a division by zero.
    return Moments(np.where(n > 0, n, np.nan), *others)


def _about_mean(squares: np.ndarray, total: np.ndarray, n: np.ndarray) -> np.ndarray:
    variation = squares - total * total / n
    return np.where(variation > _CONSTANT * squares, variation, np.nan)


REGRESSION = (
    Metric("r2", True, "1", moment_terms, _r2),
    Metric("r2_weighted", True, "1", moment_terms, _r2_weighted),
    Metric("pearson", True, "1", moment_terms, _pearson),
    Metric("rmse", False, "target", moment_terms, _rmse),
)
METRICS: Mapping[str, Metric] = {m.name: m for m in (*REGRESSION, *CLASSIFICATION)}
