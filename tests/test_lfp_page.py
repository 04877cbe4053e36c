"""The page of LFP claims: what its verdicts are made of."""

import numpy as np
import pytest
import scipy.stats

from leaderboard_app.published import published
from tests.records_factory import make_decoder, make_record, make_session
from tools import comparisons, lfp_page


def record(name: str, scores: list[float], **changes):
    sessions = [make_session(f"simulated-4-{i}", score) for i, score in enumerate(scores)]
    return make_record(name, sessions=sessions, suite="primate-lfp@1", **changes)


def test_an_interval_is_that_of_a_t_test():
    differences = [0.1, 0.3, 0.05, 0.2]
    expected = scipy.stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert comparisons.t_interval(differences) == pytest.approx((expected.low, expected.high))
    assert comparisons.t_interval([0.5]) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    "low, high, said", [(0.01, 0.2, "holds"), (-0.2, -0.01, "does not hold here"), (-0.1, 0.3, "undecided here")]
)
def test_a_verdict_says_on_which_side_of_zero_the_interval_lies(low, high, said):
    assert comparisons.verdict(low, high) == said


def test_scores_are_means_over_seeds_of_the_newest_record_of_each():
    old = record("realm", [0.0, 0.0], seed=42, started_utc="2026-01-01T00:00:00Z")
    new = record("realm", [0.4, 0.6], seed=42, started_utc="2026-01-02T00:00:00Z")
    other = record("realm", [0.6, 0.8], seed=123, started_utc="2026-01-01T00:00:00Z")
    found = comparisons.scores(comparisons.chosen([new, old, other]))
    assert found["realm"] == pytest.approx({"simulated-4-0": 0.5, "simulated-4-1": 0.7})


def test_records_of_two_tiers_are_never_averaged():
    with pytest.raises(SystemExit, match="one tier and profile"):
        comparisons.chosen([record("realm", [0.5]), record("realm", [0.5], tier="unpinned")])


def test_a_comparison_is_over_the_recordings_that_both_have():
    known = {"realm": {"a": 0.5, "b": 0.7, "c": 0.9}, "ms-lfp": {"a": 0.4, "b": 0.5}}
    line = comparisons._line(comparisons.Comparison("better", "realm", "ms-lfp"), known, {"realm": 3, "ms-lfp": 1})
    assert "| realm (3) / ms-lfp (1) | 0.600 | 0.450 | +0.150 |" in line and "| 2 of 2 |" in line
    assert "not run" in comparisons._line(comparisons.Comparison("better", "realm", "absent"), known, {})


def test_every_decoder_of_a_comparison_is_in_the_suites_own_set(root):
    from harness.data.suites import load_suite

    named = {n for group in lfp_page.SECTIONS.values() for c in group for n in (c.better, c.worse)}
    assert named <= set(load_suite("primate-lfp").decoders)


def test_published_numbers_are_those_of_the_task_without_single_sessions():
    table = published("primate-lfp@1")
    assert {0.561, 0.686, 0.588} <= set(table["value"]) and table["session_or_split"].str.match(r"\d{8}").sum() == 0
    assert set(table["verified"]) > {"yes"}, "what was read at second hand says so"
    assert published("some-lab@1").empty


def test_the_published_size_is_a_section_only_where_it_was_run():
    paper = record("realm-untrained", [0.5], decoder=make_decoder("realm-untrained", parameters={"preset": "paper"}))
    assert list(lfp_page.at_published_size([record("realm", [0.5])])) == []
    assert "Streaming at the published size" in next(lfp_page.at_published_size([paper]))
