"""From channels to components: uncorrelated, of unit variance in training, without what no signal reaches."""

from collections.abc import Sequence

import numpy as np

from harness import HarnessError, Recording

LEAST_SHARE = 1e-6
"""Of the largest component's variance: less is rounding, such as what an average reference takes away."""


def checked(recordings: Sequence[Recording]) -> None:
    """Refuse what cannot be learned from.

    Raises:
        HarnessError: If there is no trial, a class has none, outputs are no classes, or recordings differ in channels.
    """
    first = recordings[0].session
    if first.kind != "classification":
        raise HarnessError(f"session {first.id} is of kind {first.kind!r}; this decoder needs 'classification'")
    widths = sorted({r.session.streams["eeg"].n_channels for r in recordings})
    if len(widths) > 1:
        raise HarnessError(f"recordings of {widths} channels cannot be fitted together; fit each session on its own")
    n_trials = sum(r.targets[r.scored].sum(axis=0) for r in recordings)
    if not np.all(n_trials):
        told = ", ".join(f"{name}: {n:g}" for name, n in zip(first.outputs, n_trials, strict=True))
        raise HarnessError(f"training holds so many trials of each class: {told}; give at least one of each")


def whitening(covariance: np.ndarray, n_components: int | None) -> np.ndarray:
    """The leading principal components as rows (n_components, n_channels), scaled to unit variance.

    A channel that is constant in training has a weight of exactly zero, so what it says later is not heard.
    """
    variances, axes = np.linalg.eigh(covariance)
    kept = np.flatnonzero(variances > LEAST_SHARE * max(variances[-1], np.finfo(np.float64).tiny))[::-1][:n_components]
    if not kept.size:
        raise HarnessError("no channel of 'eeg' varies in the band of this decoder; check the recording and the band")
    return (axes[:, kept] / np.sqrt(variances[kept])).T * (np.diag(covariance) > 0)


def shrunk(covariances: np.ndarray, share: float) -> np.ndarray:
    """(..., n, n) moved by a share towards the identity, which is the mean of training in these components."""
    return (1 - share) * covariances + share * np.eye(covariances.shape[-1])


def towards_equal_channels(covariance: np.ndarray, share: float) -> np.ndarray:
    """(n_channels, n_channels) moved by a share towards independent channels, equally loud but for constant ones."""
    varies = np.diag(covariance) > 0
    return (1 - share) * covariance + share * np.diag(varies * np.trace(covariance) / max(1, varies.sum()))
