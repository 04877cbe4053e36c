"""The mathematics of classical EEG decoders against pyriemann, MNE, scikit-learn and SciPy."""

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from baselines.eeg import spd
from baselines.eeg.classifiers import Gaussians, Labelled, Linear, gaussians, logistic
from baselines.eeg.components import shrunk, towards_equal_channels, whitening
from baselines.eeg.csp import spatial_filters
from baselines.eeg.windows import BandPass, Centre, Recent
from baselines.lfp.filters import blocks


def covariances(seed, n_matrices=12, n=5):
    samples = np.random.default_rng(seed).normal(size=(n_matrices, 3 * n, n)) @ np.diag(np.geomspace(1, 30, n))
    return samples.swapaxes(1, 2) @ samples / (3 * n)


def rows(seed, n=60, n_features=4, n_classes=3):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    return Labelled(rng.normal(size=(n, n_features)) + labels[:, None], labels, np.ones(n))


@pytest.fixture(scope="module")
def riemann():
    """The oracle's functions."""
    pytest.importorskip("pyriemann", reason="pyriemann, an oracle of these tests alone, is not installed")
    from pyriemann.geometry import distance, geodesic, mean, tangentspace

    return {**vars(distance), **vars(geodesic), **vars(mean), **vars(tangentspace)}


def test_weighted_means_are_pyriemanns(riemann):
    made, weights = covariances(1), np.arange(1.0, 13.0)
    expected = riemann["mean_riemann"](made, tol=1e-10, maxiter=100, sample_weight=weights)
    np.testing.assert_allclose(spd.mean(made, weights), expected, rtol=1e-7)
    np.testing.assert_allclose(spd.mean(made), riemann["mean_riemann"](made, tol=1e-10, maxiter=100), rtol=1e-7)


def test_squared_distances_are_pyriemanns(riemann):
    made, centres = covariances(1), covariances(2, n_matrices=3)
    expected = [[riemann["distance_riemann"](c, m) ** 2 for m in made] for c in centres]
    whiteners = spd.power(centres, -0.5)
    np.testing.assert_allclose(spd.squared_distances(whiteners[:, None], made), expected, rtol=1e-8)


def test_tangent_vectors_at_a_point_are_pyriemanns(riemann):
    made = covariances(1)
    centre = spd.mean(made)
    ours = spd.vectors(spd.log(spd.congruent(spd.power(centre, -0.5), made)))
    theirs = riemann["tangent_space"](made, centre)
    # Both go through upper triangles row by row.
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_geodesics_are_pyriemanns(riemann, share):
    a, b = covariances(1, n_matrices=2)
    np.testing.assert_allclose(spd.between(a, b, share), riemann["geodesic_riemann"](a, b, share), rtol=1e-8)


def test_vectors_keep_products_and_can_be_undone():
    a, b = spd.log(covariances(1, n_matrices=2))
    np.testing.assert_allclose(spd.vectors(a) @ spd.vectors(b), np.sum(a * b))
    np.testing.assert_allclose(spd.from_vectors(spd.vectors(a)), a)


def test_functions_of_matrices_are_scipys():
    made = covariances(3, n_matrices=1)[0]
    np.testing.assert_allclose(spd.log(made), scipy.linalg.logm(made), atol=1e-9)
    np.testing.assert_allclose(spd.power(made, -0.5), np.linalg.inv(scipy.linalg.sqrtm(made)), atol=1e-9)
    np.testing.assert_allclose(spd.exp(spd.log(made)), made)


def test_a_matrix_without_full_rank_has_a_finite_logarithm():
    assert np.isfinite(spd.log(np.zeros((3, 3)))).all()
    assert np.isfinite(spd.log(np.ones((3, 3)))).all()


def test_spatial_filters_of_two_classes_are_pyriemanns():
    pytest.importorskip("pyriemann", reason="pyriemann, an oracle of these tests alone, is not installed")
    from pyriemann.spatialfilters import CSP

    made, labels = covariances(1, n_matrices=40, n=6), np.arange(40) % 2
    made[labels == 1] *= np.linspace(0.5, 2, 6)[:, None] * np.linspace(0.5, 2, 6)
    theirs = CSP(nfilter=6, metric="euclid").fit(made, labels).filters_
    ours = spatial_filters(made[labels == 0].mean(axis=0), made[labels == 1].mean(axis=0), 3)
    likeness = np.abs(_unit(ours) @ _unit(theirs).T)
    # The same, up to sign, length and order.
    np.testing.assert_allclose(likeness.max(axis=1), np.ones(6), atol=1e-6)
    assert sorted(likeness.argmax(axis=1).tolist()) == list(range(6))


def test_spatial_filters_of_two_classes_are_mnes():
    decoding = pytest.importorskip("mne.decoding", reason="MNE, an oracle of these tests alone, is not installed")
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 2
    signals = rng.normal(size=(30, 5, 200)) * np.where(labels[:, None], np.linspace(0.5, 2, 5), 1)[..., None]
    signals = np.einsum("cd,wdt->wct", rng.normal(size=(5, 5)), signals)
    theirs = decoding.CSP(n_components=4, component_order="alternate", cov_est="epoch").fit(signals, labels).filters_
    centred = signals - signals.mean(axis=2, keepdims=True)
    made = centred @ centred.swapaxes(1, 2) / 200
    ours = spatial_filters(made[labels == 0].mean(axis=0), made[labels == 1].mean(axis=0), 2)
    likeness = np.abs(_unit(ours) @ _unit(theirs[:4]).T)
    np.testing.assert_allclose(likeness.max(axis=1), np.ones(4), atol=1e-3)


def test_discriminant_scores_are_scikit_learns():
    given = rows(1)
    theirs = LinearDiscriminantAnalysis("lsqr", shrinkage="auto", priors=np.full(3, 1 / 3))
    theirs.fit(given.features, given.labels)
    ours = gaussians(given, 3).linear()(given.features)
    difference = ours - theirs.decision_function(given.features)
    # Scores may differ by what all classes have in common.
    np.testing.assert_allclose(difference - difference[:, :1], 0, atol=1e-8)


@pytest.mark.parametrize("penalty", [0.1, 3.0])
def test_logistic_regression_is_scikit_learns(penalty):
    given = rows(2)
    theirs = LogisticRegression(C=1 / penalty, tol=1e-9, max_iter=2000).fit(given.features, given.labels)
    ours = logistic(given, Linear(np.zeros((3, 4)), np.zeros(3)), (penalty, 1e-6))
    shares = scipy.special.softmax(ours(given.features), axis=1)
    np.testing.assert_allclose(shares, theirs.predict_proba(given.features), atol=2e-3)
    np.testing.assert_allclose(ours.weights, theirs.coef_, atol=2e-3)


def test_a_strong_penalty_keeps_the_prior_and_none_leaves_it():
    given, prior = rows(3), Linear(np.full((3, 4), 0.7), np.zeros(3))
    kept, left = (logistic(given, prior, (p, p)) for p in (1e6, 1e-3))
    np.testing.assert_allclose(kept.weights, prior.weights, atol=1e-3)
    assert np.abs(left.weights - prior.weights).max() > 0.5


def test_class_means_move_by_the_share_of_new_trials():
    before = Gaussians(np.array([[0.0], [2.0]]), np.eye(1))
    new = Labelled(np.full((3, 1), 1.0), np.zeros(3, int), np.ones(3))
    after = before.moved(new, prior_trials=3.0)
    # Three new trials of class 0 at 1.0: all classes shift by 3 / 6, and class 0 moves on halfway to 1.0.
    np.testing.assert_allclose(after.means, [[0.75], [2.5]])


def test_whitening_leaves_out_what_is_constant_or_dependent():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(500, 4)) * [1, 5, 20, 0]
    samples[:, :3] -= samples[:, :3].mean(axis=1, keepdims=True)  # an average reference
    covariance = samples.T @ samples / 500
    found = whitening(covariance, None)
    assert found.shape == (2, 4)
    assert np.all(found[:, 3] == 0)
    np.testing.assert_allclose(found @ covariance @ found.T, np.eye(2), atol=1e-9)


def test_shrinking_moves_towards_the_identity():
    np.testing.assert_allclose(shrunk(np.array([[3.0, 1.0], [1.0, 1.0]]), 0.5), [[2.0, 0.5], [0.5, 1.0]])


def test_a_constant_channel_is_given_no_variance():
    found = towards_equal_channels(np.array([[4.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]]), 0.5)
    np.testing.assert_allclose(found, [[3.5, 1.0, 0.0], [1.0, 2.5, 0.0], [0.0, 0.0, 0.0]])


def test_a_projection_before_the_filter_is_scipys_filter_before_the_projection():
    rng = np.random.default_rng(0)
    signal, projection = 50 + rng.normal(size=(320, 3)).cumsum(axis=0), rng.normal(size=(2, 3))
    sections = scipy.signal.butter(2, (8, 30), "bandpass", fs=160, output="sos")
    expected = scipy.signal.sosfilt(sections, signal - signal[0], axis=0) @ projection.T
    band_pass = BandPass(blocks([(8, 30)], 160, 16), projection[None])
    streamed = [band_pass.push(bin)[0].copy() for bin in signal.reshape(20, 16, 3)]
    np.testing.assert_allclose(np.concatenate(streamed), expected, atol=1e-9)


def test_the_mean_of_recent_bins_is_a_slow_loops():
    values, recent = np.random.default_rng(0).normal(size=(11, 2, 2)), Recent(4, (2, 2))
    expected = [values[max(0, k - 3) : k + 1].mean(axis=0) for k in range(11)]
    np.testing.assert_allclose([recent.push(v) for v in values], expected)


def test_the_mean_of_a_run_starts_at_the_identity_and_comes_to_what_was_seen():
    centre, seen = Centre(2, 0.1), np.array([[4.0, 1.0], [1.0, 2.0]])
    np.testing.assert_allclose(centre.matrix + centre.left * np.eye(2), np.eye(2))
    for _ in range(100):
        centre.push(seen)
    # Ten seconds of signal weigh as much as the start.
    np.testing.assert_allclose(centre.matrix + centre.left * np.eye(2), (seen + np.eye(2)) / 2)


def _unit(filters):
    return filters / np.linalg.norm(filters, axis=1, keepdims=True)
