"""Pipelines of scikit-learn's kind, adapted."""

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from harness import from_sklearn


def mean_of(x):
    """(n_windows, n_channels, n_samples) -> (n_windows, n_channels)."""
    return x.mean(axis=-1)


def means_lda():
    return make_pipeline(FunctionTransformer(mean_of), StandardScaler(), LinearDiscriminantAnalysis())


def powers_lda():
    return make_pipeline(FunctionTransformer(lambda x: np.log(x.var(axis=-1) + 1e-3)), LinearDiscriminantAnalysis())


def riemannian():
    from pyriemann.estimation import Covariances
    from pyriemann.tangentspace import TangentSpace

    return make_pipeline(Covariances("oas"), TangentSpace("riemann"), LogisticRegression())


MeansLda = from_sklearn(means_lda, window_s=2.0, name="MeansLda")


class FilteredLda(from_sklearn(powers_lda, window_s=1.0, band_hz=(8, 30))):
    """Classification behind a filter."""


class Riemannian(from_sklearn(riemannian, window_s=1.0, band_hz=(8, 30))):
    """The usual pipeline of MOABB."""


class RatesRidge(
    from_sklearn(lambda: make_pipeline(FunctionTransformer(mean_of), Ridge()), window_s=0.2, stream="spikes")
):
    """Regression."""
