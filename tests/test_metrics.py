"""Metrics against hand-computed numbers, scikit-learn and scipy."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from harness.errors import HarnessError, UsageError
from harness.score import metrics

Y = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]])
P = np.array([[1.0, 1.0], [2.0, 3.0], [3.0, 2.0]])
# By hand. Output 0: SSE 2, SST 8, covariation 4 of sqrt(8 * 2). Output 1: SSE 8, SST 6, covariation 0.
BY_HAND = {
    "r2": (0.75 - 1 / 3) / 2,
    "r2_weighted": 1 - 10 / 14,
    "pearson": (1.0 + 0.0) / 2,
    "rmse": (np.sqrt(2 / 3) + np.sqrt(8 / 3)) / 2,
}

OTHER_LIBRARIES = {
    "r2": lambda y, p: sklearn.metrics.r2_score(y, p, multioutput="uniform_average"),
    "r2_weighted": lambda y, p: sklearn.metrics.r2_score(y, p, multioutput="variance_weighted"),
    "pearson": lambda y, p: np.mean([scipy.stats.pearsonr(y[:, i], p[:, i])[0] for i in range(y.shape[1])]),
    "rmse": lambda y, p: sklearn.metrics.root_mean_squared_error(y, p),
}


def noisy(seed: int, *, error: float, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = offset + rng.normal(size=(500, 3)) * [1.0, 5.0, 0.2]
    return y, y + error * rng.normal(size=y.shape)


@pytest.mark.parametrize("name", [m.name for m in metrics.REGRESSION])
def test_a_metric_equals_the_number_computed_by_hand(name):
    assert metrics.metric(name)(Y, P) == pytest.approx(BY_HAND[name], abs=1e-15)


@pytest.mark.parametrize("name", [m.name for m in metrics.REGRESSION])
def test_the_named_function_is_the_metric_of_that_name(name):
    assert getattr(metrics, name)(Y, P) == pytest.approx(BY_HAND[name], abs=1e-15)


@pytest.mark.parametrize("name", [m.name for m in metrics.REGRESSION])
@pytest.mark.parametrize("error, offset", [(1.0, 0.0), (1e-6, 0.0), (30.0, 0.0), (0.5, 1e6)])
def test_a_metric_equals_another_library_for_good_bad_and_far_off_values(name, error, offset):
    y, p = noisy(3, error=error, offset=offset)
    expected = OTHER_LIBRARIES[name](y, p)
    assert metrics.metric(name)(y, p) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_tiny_error_keeps_its_digits():
    y, p = noisy(4, error=1e-9)
    expected = np.mean(np.sum((y - p) ** 2, axis=0) / np.sum((y - y.mean(axis=0)) ** 2, axis=0))
    terms = metrics.moment_terms(y, p).sum(axis=0)
    m = metrics.Moments(*np.moveaxis(terms, -1, 0))
    assert np.mean(m.ee / m.variation_y) == pytest.approx(expected, rel=1e-9)


def test_float32_values_are_scored_in_double_precision():
    y, p = (v.astype(np.float32) for v in noisy(5, error=0.3, offset=100.0))
    assert metrics.r2(y, p) == metrics.r2(y.astype(np.float64), p.astype(np.float64))


def test_the_training_mean_of_other_data_scores_below_zero_and_the_own_mean_scores_zero():
    y, _ = noisy(6, error=0.0)
    own, other = np.broadcast_to(y.mean(axis=0), y.shape), np.broadcast_to(y.mean(axis=0) + 1, y.shape)
    assert metrics.r2(y, own) == pytest.approx(0, abs=1e-12)
    assert metrics.r2(y, other) < 0


@pytest.mark.parametrize("name", ["r2", "r2_weighted", "pearson"])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 + 0.1])
def test_a_constant_target_has_no_score(name, constant):
    y = np.full((1000, 2), constant)
    p = y + np.random.default_rng(0).normal(size=y.shape)
    assert np.isnan(metrics.metric(name)(y, p))


def test_one_constant_output_leaves_the_weighted_r2_to_the_others():
    y, p = noisy(7, error=0.5)
    y[:, 0], p[:, 0] = 0.1, 0.1
    assert np.isnan(metrics.r2(y, p))
    assert metrics.r2_weighted(y, p) == pytest.approx(metrics.r2_weighted(y[:, 1:], p[:, 1:]), rel=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.5, 1e6, 0.1])
def test_a_constant_output_does_not_count_in_the_weighted_r2_however_it_is_predicted(constant):
    y, p = noisy(9, error=0.5)
    y[:, 0] = constant
    assert metrics.r2_weighted(y, p) == pytest.approx(metrics.r2_weighted(y[:, 1:], p[:, 1:]), rel=1e-12)
    if constant != 0.1:  # its mean is not itself in float64, and the other library takes the difference for variance
        expected = sklearn.metrics.r2_score(y, p, multioutput="variance_weighted")
        assert metrics.r2_weighted(y, p) == pytest.approx(expected, rel=1e-12)


def test_a_constant_prediction_has_no_correlation_but_an_r2():
    y, _ = noisy(8, error=0.0)
    p = np.full_like(y, 0.1)
    assert np.isnan(metrics.pearson(y, p))
    assert np.isfinite(metrics.r2(y, p))


@pytest.mark.parametrize(
    "y_true, y_pred, said",
    [
        (np.zeros((5, 2)), np.zeros((4, 2)), r"\(5, 2\).*\(4, 2\)"),
        (np.zeros(5), np.zeros(5), r"\(5,\).*n_outputs"),
        (np.zeros((0, 2)), np.zeros((0, 2)), r"non-zero"),
        (np.zeros((5, 2)), np.array([[0, 0], [0, np.nan]] + [[0, 0]] * 3), "nan at bin 1, output 1 of y_pred"),
        (np.array([[np.inf], [0.0]]), np.zeros((2, 1)), "inf at bin 0, output 0 of y_true"),
    ],
)
def test_unusable_arrays_are_refused_with_their_numbers(y_true, y_pred, said):
    with pytest.raises(UsageError, match=said) as caught:
        metrics.r2(y_true, y_pred)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, HarnessError)


def test_an_unknown_metric_names_the_known_ones():
    with pytest.raises(UsageError, match=r"'r3'.*r2, r2_weighted, pearson, rmse"):
        metrics.metric("r3")


def test_only_the_error_is_better_when_lower_and_carries_the_unit_of_the_target():
    assert [m.name for m in metrics.METRICS.values() if not m.higher_is_better] == ["rmse"]
    assert [m.name for m in metrics.METRICS.values() if m.unit == "target"] == ["rmse"]
