"""Fitted objects as plain data: what comes back answers the same, and what cannot be kept is named."""

import sys
from functools import partial

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, QuantileTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from harness.adapters.plain import Kept, Unwritable, is_estimator, read, write
from harness.adapters.sklearn import scores
from harness.errors import DecoderError

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
ROWS = RNG.normal(size=(60, 6)) + np.eye(6)[LABELS]


def signals(n_channels=6, n_samples=80):
    """(60, n_channels, n_samples): each class has one louder channel."""
    return RNG.normal(size=(60, n_channels, n_samples)) * (1 + np.eye(n_channels)[LABELS])[..., None]


SIGNALS = signals()
ON_ROWS = {
    "lda": lambda: LinearDiscriminantAnalysis(),
    "shrunk lda": lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    "qda": lambda: QuadraticDiscriminantAnalysis(reg_param=0.1),
    "bayes": lambda: GaussianNB(),
    "logistic": lambda: make_pipeline(StandardScaler(), PCA(4), LogisticRegression()),
    "ridge": lambda: RidgeClassifierCV(),
    "svc": lambda: make_pipeline(StandardScaler(), SVC()),
    "ovo svc": lambda: SVC(kernel="linear", decision_function_shape="ovo"),
    "linear svc": lambda: LinearSVC(),
    "neighbours": lambda: KNeighborsClassifier(algorithm="brute"),
    "best columns": lambda: make_pipeline(SelectKBest(f_classif, k=3), GaussianNB()),
    "union": lambda: make_pipeline(make_union(PCA(2), StandardScaler()), LogisticRegression()),
    "columns": lambda: make_pipeline(
        ColumnTransformer([("a", PCA(2), [0, 1, 2]), ("b", QuantileTransformer(n_quantiles=10), slice(3, 6))]),
        LogisticRegression(),
    ),
    "one against rest": lambda: OneVsRestClassifier(LinearSVC()),
    "vote": lambda: VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], voting="soft"),
    "lambda": lambda: make_pipeline(FunctionTransformer(lambda x: x**2), LogisticRegression()),
}


def answers(pipeline, x):
    return scores(pipeline, x, labels=np.arange(3), n_outputs=3)


def kept_and_restored(make, x):
    """Fitted, and twice put together from the arrays."""
    fitted = make().fit(x, LABELS)
    kept = Kept.from_state(write(fitted, make(), is_estimator).to_state())
    return fitted, read(kept, make(), is_estimator), read(kept, make(), is_estimator)


@pytest.mark.parametrize("name", ON_ROWS)
def test_an_estimator_of_scikit_learn_comes_back_from_its_arrays(name):
    fitted, first, second = kept_and_restored(ON_ROWS[name], ROWS)
    np.testing.assert_allclose(answers(first, ROWS), answers(fitted, ROWS), rtol=1e-12, atol=1e-12)
    assert answers(first, ROWS).tobytes() == answers(second, ROWS).tobytes()


def riemannian(name):
    classification = pytest.importorskip("pyriemann.classification", reason="pyriemann is not installed")
    from pyriemann.estimation import Covariances
    from pyriemann.spatialfilters import CSP
    from pyriemann.tangentspace import FGDA, TangentSpace

    ends = {
        "mdm": lambda: [classification.MDM("riemann")],
        "mdm with two metrics": lambda: [classification.MDM({"mean": "logeuclid", "distance": "riemann"})],
        "fgmdm": lambda: [classification.FgMDM()],
        "nearest": lambda: [classification.KNearestNeighbor(3)],
        "tangent space": lambda: [TangentSpace(), LogisticRegression()],
        "fgda": lambda: [FGDA(), classification.MDM()],
        "csp": lambda: [CSP(4), LinearDiscriminantAnalysis()],
    }
    return lambda: make_pipeline(Covariances("oas"), *ends[name]())


@pytest.mark.parametrize("name", ["mdm", "mdm with two metrics", "fgmdm", "nearest", "tangent space", "fgda", "csp"])
def test_a_pipeline_of_pyriemann_comes_back_from_its_arrays(name):
    fitted, first, second = kept_and_restored(riemannian(name), SIGNALS)
    np.testing.assert_allclose(answers(first, SIGNALS), answers(fitted, SIGNALS), rtol=1e-9, atol=1e-9)
    assert answers(first, SIGNALS).tobytes() == answers(second, SIGNALS).tobytes()


def test_mnes_csp_comes_back_from_its_arrays():
    decoding = pytest.importorskip("mne.decoding", reason="mne is not installed")
    fitted, first, second = kept_and_restored(
        lambda: make_pipeline(decoding.CSP(4, log=True), LinearDiscriminantAnalysis()), SIGNALS
    )
    np.testing.assert_allclose(answers(first, SIGNALS), answers(fitted, SIGNALS), rtol=1e-9, atol=1e-9)
    assert answers(first, SIGNALS).tobytes() == answers(second, SIGNALS).tobytes()


@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: make_pipeline(StandardScaler(), RandomForestClassifier(2)), r"'randomforestclassifier'.*\.tree_ \("),
        (lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(algorithm="kd_tree")), r"\._tree \(.*KDTree"),
        (lambda: MLPClassifier(max_iter=2), r"MLPClassifier\._(random_state|optimizer) \("),
    ],
)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_what_cannot_be_kept_is_refused_with_its_step_and_attribute(make, named):
    with pytest.raises(Unwritable, match=named):
        write(make().fit(ROWS, LABELS), make(), is_estimator)


class Remembers(BaseEstimator):
    """Fitted attributes of every kind that there is."""

    def fit(self, value):
        self.value_ = value
        return self


VALUES = [
    None,
    True,
    -3,
    0.1 + 0.2,
    float("inf"),
    "text",
    [1, (2.5, None)],
    {"a": 1, 2: np.arange(3)},
    slice(1, None, 2),
    np.float32(1.5),
    np.array(["left", "right"]),
    np.str_("left"),
    np.zeros((0, 3), np.int8),
    np.array([True]),
]


@pytest.mark.parametrize("value", VALUES, ids=[str(v)[:20] for v in VALUES])
def test_a_value_comes_back_as_it_was(value):
    kept = write(Remembers().fit(value), Remembers(), is_estimator)
    back = read(Kept.from_state(kept.to_state()), Remembers(), is_estimator).value_
    assert type(back) is type(value)
    assert repr(back) == repr(value)
    if isinstance(value, np.ndarray):
        assert (back.dtype, back.shape) == (value.dtype, value.shape)


def test_an_estimator_that_is_held_twice_comes_back_as_one():
    inner = Remembers().fit(1)
    back = read(write(Remembers().fit([inner, inner]), Remembers(), is_estimator), Remembers(), is_estimator).value_
    assert back[0] is back[1] and back[0].value_ == 1


def test_the_order_of_an_array_in_memory_comes_back():
    kept = write(Remembers().fit(np.asfortranarray(np.ones((3, 4)))), Remembers(), is_estimator)
    assert read(kept, Remembers(), is_estimator).value_.flags.f_contiguous


@pytest.mark.parametrize("value", [object(), np.array([object()]), lambda x: x, 1j, partial(sum), RNG])
def test_a_learned_value_without_a_plain_form_is_refused(value):
    with pytest.raises(Unwritable, match=r"Remembers\.value_ \("):
        write(Remembers().fit(value), Remembers(), is_estimator)


def test_an_argument_of_the_constructor_is_given_again_by_the_factory():
    makes = [lambda: OneHotEncoder(handle_unknown="ignore", dtype=np.dtype("f4")).set_params(categories="auto")] * 2
    fitted = makes[0]().fit(LABELS[:, None])
    restored = read(write(fitted, makes[1](), is_estimator), makes[1](), is_estimator)
    assert (restored.transform([[1], [7]]) != fitted.transform([[1], [7]])).nnz == 0


def test_a_text_that_names_what_is_not_imported_is_refused():
    kept = write(Remembers().fit(f_classif), Remembers(), is_estimator)
    assert "made_up_module" not in sys.modules
    with pytest.raises(DecoderError, match="made_up_module:f"):
        read(
            Kept(kept.text.replace(f"{f_classif.__module__}:f_classif", "made_up_module:f"), []),
            Remembers(),
            is_estimator,
        )


def test_a_text_that_builds_something_else_than_an_estimator_is_refused():
    kept = Kept('{"part": "subprocess:Popen", "attributes": {}}', [])
    with pytest.raises(DecoderError, match="no part"):
        read(kept, Remembers(), is_estimator)
