"""Metrics of classes, each a formula on a confusion matrix, which is a sum over decisions.

A decision is the largest of a bin's scores; of equal ones the first. So decoders may answer with probabilities,
log-odds or negative distances.
"""

import numpy as np

from harness.errors import UsageError
from harness.score.metric import Metric, checked


def confusion_terms(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """What each decision adds to the confusion matrix: (n_bins, n_classes, n_classes), rows true, columns decided.

    Args:
        y_true: (n_bins, n_classes) one-hot.
        y_pred: (n_bins, n_classes) scores.

    Raises:
        UsageError: If a target is not one-hot.
    """
    y_true, y_pred = checked(y_true, y_pred)
    if not (np.isin(y_true, (0, 1)).all() and (y_true.sum(axis=1) == 1).all()):
        raise UsageError("a metric of classes got targets that are not one-hot; give 1 for the class and 0 elsewhere")
    decided = np.eye(y_pred.shape[1])[y_pred.argmax(axis=1)]
    return np.asarray(y_true[:, :, None] * decided[:, None, :])


def balanced_accuracy(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean recall over the classes that occur; chance is 1 / n_classes however the classes are distributed.

    y_true: (n_bins, n_classes) one-hot; y_pred: (n_bins, n_classes) scores.
    """
    return BALANCED_ACCURACY(y_true, y_pred)


def _balanced_accuracy(confusion: np.ndarray) -> np.ndarray:
    recalls = _ratio(_diagonal(confusion), confusion.sum(axis=-1))
    return _ratio(np.nansum(recalls, axis=-1), np.isfinite(recalls).sum(axis=-1))


def _accuracy(confusion: np.ndarray) -> np.ndarray:
    return _ratio(_diagonal(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def _cohen_kappa(confusion: np.ndarray) -> np.ndarray:
    """(p_o - p_e) / (1 - p_e), where p_e is agreement by the margins alone (Cohen 1960); NaN if that is certain."""
    n = confusion.sum(axis=(-2, -1))
    observed = _ratio(_diagonal(confusion).sum(axis=-1), n)
    expected = _ratio(np.sum(confusion.sum(axis=-1) * confusion.sum(axis=-2), axis=-1), n * n)
    return _ratio(observed - expected, 1 - expected)


def _f1_weighted(confusion: np.ndarray) -> np.ndarray:
    """Mean over classes, weighted by how often each occurs, of 2 TP / (2 TP + FP + FN); a class never met weighs 0."""
    support, decided = confusion.sum(axis=-1), confusion.sum(axis=-2)
    f1 = np.nan_to_num(_ratio(2 * _diagonal(confusion), support + decided))
    return _ratio(np.sum(f1 * support, axis=-1), support.sum(axis=-1))


def _diagonal(confusion: np.ndarray) -> np.ndarray:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where there is nothing of which to take a part."""
    return np.asarray(part / np.where(whole > 0, whole, np.nan))


BALANCED_ACCURACY = Metric("balanced_accuracy", True, "1", confusion_terms, _balanced_accuracy, lambda n: 1 / n)
CLASSIFICATION = (
    BALANCED_ACCURACY,
    Metric("accuracy", True, "1", confusion_terms, _accuracy),
    Metric("cohen_kappa", True, "1", confusion_terms, _cohen_kappa, lambda n: 0.0),
    Metric("f1_weighted", True, "1", confusion_terms, _f1_weighted),
)
