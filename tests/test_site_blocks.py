"""Where in time one decoder is better: against whole scores, and against a loop that exchanges answers."""

import numpy as np
import pytest

from harness.results.shown import About, Shown
from harness.score.metrics import metric
from leaderboard_app.blocks import gains, who_gains

BIN_S = 0.5


def part(n_bins=230, n_outputs=2, *, kind="regression", seed=0, starts=(0, 101)):
    rng = np.random.default_rng(seed)
    begins, scored = np.zeros(n_bins, bool), rng.random(n_bins) < 0.7
    begins[list(starts)] = True
    truth = rng.normal(size=(n_bins, n_outputs))
    if kind == "classification":
        truth = np.eye(n_outputs)[rng.integers(n_outputs, size=n_bins)]
    truth[~scored] = np.nan
    about = About(
        suite="s@1", session="one", data="sha256:1", kind=kind, bin_s=BIN_S, n_bins=n_bins,
        outputs=tuple("xyzw"[:n_outputs]), quantity="", decision_s=None, streams={},
    )  # fmt: skip
    return Shown(about, truth, scored, begins)


def answers(shown, noise, seed):
    rng = np.random.default_rng(seed)
    return np.nan_to_num(shown.targets) + noise * rng.normal(size=shown.targets.shape)


@pytest.mark.parametrize(
    "name, kind, n_outputs",
    [("r2", "regression", 2), ("r2_weighted", "regression", 3), ("balanced_accuracy", "classification", 4)],
)
def test_gains_of_all_blocks_are_the_difference_of_the_scores(name, kind, n_outputs):
    shown = part(kind=kind, n_outputs=n_outputs)
    a, b = answers(shown, 0.9, 1), answers(shown, 1.1, 2)
    score = metric(name)
    y = shown.targets[shown.scored]
    expected = score(y, a[shown.scored]) - score(y, b[shown.scored])
    assert gains(name, shown, a, b)["gain"].sum() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name, sign", [("r2", 1), ("rmse", -1)])
def test_a_gain_is_what_answering_as_the_other_in_one_block_would_bring(name, sign):
    shown = part()
    a, b = answers(shown, 0.9, 1), answers(shown, 1.1, 2)
    table, score = gains(name, shown, a, b, block_s=20), metric(name)
    y = shown.targets[shown.scored]
    for row in table.itertuples():
        inside = slice(round(row.from_s / BIN_S), round(row.until_s / BIN_S))
        mixed = b.copy()
        mixed[inside] = a[inside]
        brought = score(y, mixed[shown.scored]) - score(y, b[shown.scored])
        assert row.gain == pytest.approx(sign * brought, abs=1e-9)


def test_blocks_end_where_the_recording_begins_anew_and_those_without_a_scored_bin_are_left_out():
    shown = part()
    shown.scored[20:40] = False
    table = gains("r2", shown, answers(shown, 1, 1), answers(shown, 1, 2))
    edges = list(zip(table["from_s"], table["until_s"], strict=True))
    assert edges[:2] == [(0, 10), (20, 30)] and (50, 50.5) in edges and (50.5, 60.5) in edges
    assert edges[-1] == (110.5, 115)


def test_the_sentence_counts_blocks_by_who_is_ahead():
    shown = part(200, starts=(0,))
    b = answers(shown, 1, 2)
    a = b.copy()
    a[:60] = np.nan_to_num(shown.targets[:60])
    table = gains("r2", shown, a, b)
    assert who_gains(table, "one", "two") == "Of 10 blocks of 10 s, one is ahead in 3 and two in 0, neither in 7."
