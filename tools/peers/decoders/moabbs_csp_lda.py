"""MOABB's CSP and LDA, part for part, as a decoder of this project."""

from typing import Any

from harness import from_sklearn


def csp_lda() -> Any:
    """The pipeline that MOABB is given too."""
    from pyriemann.estimation import Covariances
    from pyriemann.spatialfilters import CSP
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline

    return make_pipeline(Covariances("oas"), CSP(nfilter=6), LinearDiscriminantAnalysis())


MoabbsCspLda = from_sklearn(csp_lda, window_s=2.0, band_hz=(8, 30), name="MoabbsCspLda")
