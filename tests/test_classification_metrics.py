"""Metrics of classes against scikit-learn, their bootstrap against a slow loop, accuracy over time by hand."""

import numpy as np
import pytest
import sklearn.metrics as truth

from harness.data.align import align
from harness.errors import UsageError
from harness.score import stats
from harness.score.classification import balanced_accuracy
from harness.score.metrics import metric
from harness.score.trials import confusion, over_time
from tests.eeg_cases import LAYOUT, SESSION, TASK, contents

CLASSES = (2, 3, 4)


def answers(n_classes: int, n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(one-hot labels, scores) of decisions that are right more often than not; classes are not balanced."""
    rng = np.random.default_rng(seed)
    label = rng.choice(n_classes, n, p=np.arange(1, n_classes + 1) / sum(range(1, n_classes + 1)))
    return np.eye(n_classes)[label], rng.normal(size=(n, n_classes)) + 0.8 * np.eye(n_classes)[label]


@pytest.mark.parametrize("n_classes", CLASSES)
@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("balanced_accuracy", truth.balanced_accuracy_score),
        ("accuracy", truth.accuracy_score),
        ("cohen_kappa", truth.cohen_kappa_score),
        ("f1_weighted", lambda t, p: truth.f1_score(t, p, average="weighted")),
    ],
)
def test_scores_are_scikit_learns(name, oracle, n_classes):
    y_true, scores = answers(n_classes)
    assert metric(name)(y_true, scores) == pytest.approx(oracle(y_true.argmax(1), scores.argmax(1)), abs=1e-12)


@pytest.mark.parametrize("n_classes", CLASSES)
def test_an_answer_that_is_always_the_same_scores_chance(n_classes):
    y_true, _ = answers(n_classes)
    constant = np.ones((len(y_true), n_classes))
    for name in ("balanced_accuracy", "cohen_kappa"):
        assert metric(name)(y_true, constant) == pytest.approx(metric(name).chance(n_classes))


def test_a_class_that_does_not_occur_does_not_count():
    y_true = np.eye(3)[[0, 0, 1, 1]]
    assert balanced_accuracy(y_true, np.eye(3)[[0, 2, 1, 1]]) == 0.75


def test_targets_that_are_not_one_hot_are_refused():
    with pytest.raises(UsageError, match="not one-hot"):
        balanced_accuracy(np.full((4, 2), 0.5), np.zeros((4, 2)))


def test_draws_are_scores_of_resampled_trials_and_the_same_trials_for_every_decoder():
    y_true, scores = answers(2, n=30)
    drawn = stats.trial_draws(metric("balanced_accuracy"), y_true, scores)
    rows = np.random.default_rng(stats.PROTOCOL.seed).integers(0, 30, (1000, 30))
    slow = [truth.balanced_accuracy_score(y_true[r].argmax(1), scores[r].argmax(1)) for r in rows[:40]]
    np.testing.assert_allclose(drawn[:40], slow)
    span = stats.interval(drawn)
    assert span.low < metric("balanced_accuracy")(y_true, scores) < span.high


def test_intervals_of_a_fair_coin_cover_one_half():
    rng = np.random.default_rng(1)
    y_true = np.eye(2)[np.arange(45) % 2]
    spans = [
        stats.interval(stats.trial_draws(metric("balanced_accuracy"), y_true, rng.normal(size=(45, 2))))
        for _ in range(300)
    ]
    covered = np.mean([span.low <= 0.5 <= span.high for span in spans])
    assert 0.88 <= covered <= 0.99


def test_accuracy_over_time_is_that_of_the_answers_at_each_time_since_the_cue():
    part = align(contents(2), SESSION, task=TASK, layout=LAYOUT).recording
    right_from_s = 1.5
    cue_bins = np.flatnonzero(part.inputs.streams["cue"][:, 0])
    since_s = np.full(len(part), -1.0)
    for k in cue_bins:
        since_s[k + 1 : k + 41] = 0.1 * np.arange(1, 41)
    outputs = np.nan_to_num(part.targets) * np.where(since_s >= right_from_s - 1e-9, 1, -1)[:, None]
    curve = over_time(part, outputs, decision_s=2.0)
    np.testing.assert_allclose(curve.offset_s, 0.1 * np.arange(1, 41))
    np.testing.assert_array_equal(curve.balanced_accuracy, curve.offset_s >= right_from_s - 1e-9)


def test_the_confusion_matrix_counts_decisions_of_scored_bins():
    part = align(contents(2), SESSION, task=TASK, layout=LAYOUT).recording
    outputs = np.tile(np.array([1.0, 0.0]), (len(part), 1))
    counts = part.targets[part.scored].sum(axis=0)
    assert confusion(part, outputs).tolist() == [[int(counts[0]), 0], [int(counts[1]), 0]]
