"""The read-out of embeddings, against least squares written out and scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from baselines.features import History
from baselines.readout import Embedded, fit_readout, readout_answers
from baselines.ridge import Linear
from harness import HarnessError, Inputs, Recording, SessionInfo


def embedded(n_bins, *, seed=0, width=3, starts=(0,), noise=0.1, lag=1):
    """An embedding, and targets that are two of its columns `lag` bins ago with noise; some bins are not scored."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.5, 1, (n_bins, width)).astype(np.float32)
    targets = np.roll(values[:, :2], lag, axis=0) + noise * rng.normal(size=(n_bins, 2))
    begins = np.zeros(n_bins, bool)
    begins[list(starts)] = True
    scored = rng.random(n_bins) > 0.2
    targets[~scored] = np.nan
    inputs = Inputs({}, begins, 0.01)
    return Embedded(values, Recording(SessionInfo("s", "m", {}, 0.01, ("x", "y")), inputs, targets, scored))


def slow_features(one, n_frames):
    """Newest frame first, zeros before a segment's start, bin after bin."""
    rows, since = [], []
    for value, starts in zip(one.values, one.recording.inputs.starts, strict=True):
        since = [value, *([] if starts else since)][:n_frames]
        rows.append(np.concatenate([*since, np.zeros((n_frames - len(since)) * one.values.shape[1])]))
    return np.array(rows)


@pytest.mark.parametrize("starts", [(0,), (0, 50, 51, 130)])
def test_a_readout_is_the_ridge_regression_of_another_library_on_train_and_validation(starts):
    parts = embedded(200, starts=starts), embedded(90, seed=1)
    found = fit_readout(parts[:1], parts[1:], n_frames=4, penalties=[7.0])
    features = np.concatenate([slow_features(p, 4)[p.recording.scored] for p in parts])
    targets = np.concatenate([p.recording.targets[p.recording.scored] for p in parts])
    expected = Ridge(7.0).fit(features, targets)
    np.testing.assert_allclose(found.weights, expected.coef_, atol=1e-6)
    np.testing.assert_allclose(found.intercept, expected.intercept_, atol=1e-6)


def test_the_penalty_is_the_one_that_does_best_on_validation():
    train, validation, penalties = embedded(40, noise=1.0), embedded(200, seed=1), [1e-3, 10.0, 1e6]
    scores = []
    for penalty in penalties:
        scored = train.recording.scored, validation.recording.scored
        model = Ridge(penalty).fit(slow_features(train, 5)[scored[0]], train.recording.targets[scored[0]])
        scores.append(model.score(slow_features(validation, 5)[scored[1]], validation.recording.targets[scored[1]]))
    best = fit_readout([train], [validation], n_frames=5, penalties=[penalties[int(np.argmax(scores))]])
    found = fit_readout([train], [validation], n_frames=5, penalties=penalties)
    np.testing.assert_array_equal(found.weights, best.weights)


def test_answers_for_a_stream_are_those_of_a_history_that_forgets_at_starts():
    one = embedded(60, starts=(0, 20, 23))
    rng = np.random.default_rng(2)
    linear = Linear(rng.normal(size=(2, 12)), rng.normal(size=2))
    answers = readout_answers(linear, one.values, one.recording.inputs.starts, 4)
    for k, (value, starts) in enumerate(zip(one.values, one.recording.inputs.starts, strict=True)):
        history = History(4, 3) if starts else history  # noqa: F821
        expected = linear.weights @ history.push(value) + linear.intercept
        np.testing.assert_allclose(answers[k], expected, atol=1e-6)


def test_a_readout_recovers_what_was_there_in_the_past_of_the_embedding():
    train, validation = embedded(400, noise=0.0), embedded(100, seed=1, noise=0.0)
    linear = fit_readout([train], [validation], n_frames=3, penalties=[1e-6, 1e3])
    expected = np.zeros((2, 9))
    expected[[0, 1], [3, 4]] = 1  # the second frame, which is one bin old
    np.testing.assert_allclose(linear.weights, expected, atol=0.1)


def test_without_anything_scored_a_readout_says_what_is_missing():
    one = embedded(20)
    one.recording.scored[:] = False
    with pytest.raises(HarnessError, match="no scored bin"):
        fit_readout([one], [], n_frames=2, penalties=[1.0])


def test_an_embedding_must_have_one_row_per_bin():
    with pytest.raises(HarnessError, match="20 bins"):
        Embedded(np.zeros((19, 3), np.float32), embedded(20).recording)
